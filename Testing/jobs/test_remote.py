"""The remote runner against a real server over the small world: the same results, every failure told apart."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from MeWMLib.core import io
from MeWMLib.core.errors import (
    BundleError,
    CancelledError,
    InputError,
    LabelError,
    MeWMError,
    NotAServerError,
    NoTumourError,
    OutputError,
    ServerBusyError,
    ServerError,
    ServerTokenError,
    ServerUnreachableError,
    UploadTooLargeError,
    WorkerError,
)
from MeWMLib.jobs import remote_http, runner
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.remote import RemoteRunner
from MeWMLib.jobs.remote_files import pack
from MeWMLib.jobs.remote_http import ServerClient
from MeWMLib.jobs.wire import PROTOCOL, Address
from Testing.jobs.asking import until


def client_of(server, url: str | None = None, token: str | None = None) -> ServerClient:
    return ServerClient(Address.parse(url or server.url), lambda: token or server.token)


def go(server, job: Job, events: list | None = None, cancelled=None, url: str | None = None, **more) -> dict:
    """Run a job on a server to its end, as the command line does."""
    make = lambda: RemoteRunner(client_of(server, url), **more)  # noqa: E731
    return runner.run(job, events.append if events is not None else None, cancelled, make=make)


@pytest.fixture
def case(tmp_path, fake) -> Path:
    """The small patient in a folder that names a person, in files whose headers do so too."""
    folder = tmp_path / "SMITH_JOHN_19550401"
    ct = io.to_sitk(fake.small_ct())
    for key in ("PatientName", "0010|0010", "DICOM_patientID"):
        ct.SetMetaData(key, "SMITH^JOHN")
    folder.mkdir()
    sitk.WriteImage(ct, str(folder / "smith_john.nrrd"), True)
    io.write_labels(fake.small_labels(), folder / "smith_john.seg.nrrd")
    return folder


def plan_of(case: Path, out: Path, kind: str = "plan", **inputs) -> Job:
    given = {"case": str(case / "smith_john.nrrd"), "labels": str(case / "smith_john.seg.nrrd"), **inputs}
    return Job(kind, given, str(out), seed=3, settings={"replicas": 2})


def test_a_plan_through_the_server_is_the_plan_of_this_computer(serve, case, tmp_path, fake_script):
    server, events = serve(), []
    far = go(server, plan_of(case, tmp_path / "far"), events)
    near = runner.run(plan_of(case, tmp_path / "near"), command=[sys.executable, str(fake_script)])
    assert far == near
    names = sorted(p.name for p in (tmp_path / "near").iterdir())
    assert sorted(p.name for p in (tmp_path / "far").iterdir()) == names and len(names) > 8
    plans = [(tmp_path / n / "plan.json").read_bytes() for n in ("far", "near")]
    assert plans[0] == plans[1] and b'"case": "smith_john.nrrd"' in plans[0], "the names are given back here"
    for name in names:
        if name.endswith(".nrrd"):
            pair = [sitk.ReadImage(str(tmp_path / n / name)) for n in ("far", "near")]
            np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, pair))
            assert pair[0].GetDirection() == pair[1].GetDirection() and pair[0].GetOrigin() == pair[1].GetOrigin()
            assert pair[0].GetMetaDataKeys() == pair[1].GetMetaDataKeys()
    stages = list(dict.fromkeys(e.stage for e in events if e.kind == "progress"))
    assert stages[0] == "upload" and stages[-1] == "download" and "plan" in stages
    assert events[-1].kind == "result"
    assert server.jobs.running == 0 and server.folders() == [], "nothing is left there"


def test_the_best_so_far_is_here_before_it_is_told(serve, case, tmp_path):
    out, seen = tmp_path / "out", []

    class Watch(list):
        def append(self, event):
            if event.kind == "partial":
                seen.append(len(json.loads((out / "plan.json").read_text())["candidates"]))

    go(serve(), plan_of(case, out), Watch())
    assert seen and seen[-1] == 6


def test_every_kind_of_job(serve, case, tmp_path, fake):
    server = serve()
    ct = str(case / "smith_john.nrrd")
    labels = str(case / "smith_john.seg.nrrd")
    out = tmp_path / "found" / "my labels.nii.gz"
    result = go(server, Job("segment", {"case": ct}, str(out)))
    assert result["file"] == out.name and io.read_labels(out, fake.GEOMETRY).tumour.any()
    assert go(server, Job("propose", {"case": ct, "labels": labels, "goal": "shrink it"}))["policy"] == "fake"
    post = {"post": ct, "post_labels": labels}
    out = tmp_path / "risk.json"
    assert go(server, Job("assess", {"case": ct, "labels": labels, **post}, str(out)))["risk"] == 0.5
    assert json.loads(out.read_text())["risk"] == 0.5
    # what lies beside the file comes back under the user's own name
    assert {p.name for p in tmp_path.glob("risk*")} == {"risk.json", "risk.png"}
    more = {"registered": True, **post}
    go(server, Job("assess", {"case": ct, "labels": labels, **more}, str(tmp_path / "again.json")))
    endings = (".json", ".png", "_registered.nrrd", "_deformation.h5")
    assert {p.name for p in tmp_path.glob("again*")} == {f"again{ending}" for ending in endings}
    job = Job("simulate", {"case": "sample:tiny", "protocol": "Cisplatin + Lipiodol"}, str(tmp_path / "sim"))
    assert go(server, job)["candidates"] == 1
    # labels of another meaning are mapped here; the server needs no explanation
    odd = sitk.ReadImage(labels) * 3
    for key in odd.GetMetaDataKeys():
        odd.EraseMetaData(key)
    plain = sitk.GetImageFromArray(sitk.GetArrayFromImage(odd))
    plain.CopyInformation(odd)
    sitk.WriteImage(plain, str(tmp_path / "odd.nrrd"))
    job = Job("propose", {"case": ct, "labels": str(tmp_path / "odd.nrrd"), "label_values": "3=liver,6=tumour"})
    assert go(server, job)["findings"]


def _unpacked(sent: bytes) -> bytes:
    """What was sent, and everything compressed in it."""
    found, at = bytes(sent), sent.find(b"\x1f\x8b")
    whole = [found]
    while at >= 0:
        try:
            whole.append(zlib.decompressobj(31).decompress(found[at:]))
        except zlib.error:
            pass
        at = found.find(b"\x1f\x8b", at + 2)
    return b"\n".join(whole)


def test_no_name_and_no_path_leaves_this_computer(serve, tap, case, tmp_path, fake):
    server = serve()
    line = tap(server.url)
    clinical = {"age_years": 71.0, "child_pugh_class": "A"}
    go(server, plan_of(case, tmp_path / "out", clinical=clinical, goal="spare the liver"), url=line.url)
    sent = _unpacked(line.sent)
    # the search finds what is there
    assert b"spare the liver" in sent and b"child_pugh_class" in sent and sent.count(b"NRRD000") == 2
    assert fake.small_ct().array.astype("<i2").tobytes() in sent
    text = sent.lower()
    names = ("smith", "john", "1955", "patient", str(tmp_path).lower(), str(Path.home()).lower(), "pytest")
    # a host name of a few letters stands in any compressed voxels by chance
    host = socket.gethostname().lower()
    for name in (*names, *([host] if len(host) > 5 else [])):
        assert name.encode() not in text, name


def test_a_dicom_folder_becomes_voxels_and_a_grid(tmp_path, fake):
    series = tmp_path / "dicom"
    series.mkdir()
    volume = fake.small_ct()
    image = io.to_sitk(volume)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetDepth()):
        piece = image[:, :, k]
        position = image.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0010|0010": "SMITH^JOHN",
            "0010|0020": "ID4711",
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.4711.{k}",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.2",
            "0020|0032": "\\".join(f"{p:.6f}" for p in position),
            "0020|0037": "\\".join(f"{d:.6f}" for d in np.array(image.GetDirection()).reshape(3, 3)[:, :2].T.ravel()),
            "0020|0013": str(k + 1),
        }
        for key, value in tags.items():
            piece.SetMetaData(key, value)
        writer.SetFileName(str(series / f"{k}.dcm"))
        writer.Execute(piece)
    folder = tmp_path / "packed"
    folder.mkdir()
    packed = pack(Job("segment", {"case": str(series)}, str(tmp_path / "l.nrrd")), folder)
    assert [entry.name for entry, _ in packed.files] == ["ct.nrrd"]
    content = _unpacked((folder / "ct.nrrd").read_bytes())
    assert b"SMITH" not in content and b"4711" not in content and b"1.2.826" not in content
    np.testing.assert_array_equal(io.read_volume(folder / "ct.nrrd").array, volume.array)


def test_what_cannot_be_sent_is_refused_before_anything_is(tmp_path, case):
    folder = tmp_path / "packed"
    folder.mkdir()
    for job, error in (
        (Job("plan", {"case": str(case / "smith_john.nrrd")}, "o", bundle="/models/mine"), BundleError),
        (Job("plan", {"case": str(case / "smith_john.nrrd"), "note": "x"}, "o"), InputError),
        (Job("plan", {}, "o"), InputError),
        (Job("segment", {"case": str(case / "smith_john.nrrd")}, "labels.stl"), InputError),
        (
            Job("plan", {"case": str(case / "smith_john.nrrd"), "labels": str(case / "smith_john.nrrd")}, "o"),
            LabelError,
        ),
    ):
        with pytest.raises(error):
            pack(job, folder)


def test_a_file_in_the_way_is_seen_before_anything_is_sent(serve, tap, case, tmp_path):
    server = serve()
    line = tap(server.url)
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError):
        go(server, plan_of(case, tmp_path / "out"), url=line.url)
    assert not line.sent


def test_the_error_of_the_worker_comes_in_its_own_type(serve, case, tmp_path, fake):
    empty = fake.small_labels()
    io.write_labels(type(empty)(np.minimum(empty.array, 1), empty.geometry), case / "liver.nrrd")
    server = serve()
    with pytest.raises(NoTumourError):
        go(server, plan_of(case, tmp_path / "out", labels=str(case / "liver.nrrd")))
    assert not (tmp_path / "out").exists() and server.jobs.running == 0


@pytest.mark.parametrize(("mishap", "text"), [("crash", "ZeroDivisionError"), ("kill", "SIGKILL")])
def test_a_worker_that_dies_there_is_told_here(serve, case, tmp_path, monkeypatch, mishap, text):
    monkeypatch.setenv("MEWM_FAKE", mishap)
    events: list = []
    with pytest.raises(WorkerError, match=text):
        go(serve(), plan_of(case, tmp_path / "out"), events)


def test_cancel_keeps_the_best_so_far_and_ends_the_worker(serve, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, out = serve(), tmp_path / "out"
    result = go(server, plan_of(case, out), None, lambda: (out / "plan.json").exists())
    assert result["stopped_by"] == "cancelled"
    plan = json.loads((out / "plan.json").read_text())
    assert 1 <= len(plan["candidates"]) < 6 and (out / "simulated_01.nrrd").is_file()
    assert server.jobs.running == 0


def test_a_worker_that_does_not_stop_is_ended_and_what_it_had_is_kept(serve, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "stubborn")
    server, out = serve(limits={"grace_s": 0.2}), tmp_path / "out"
    with pytest.raises(CancelledError):
        go(server, plan_of(case, out), None, lambda: (out / "plan.json").exists())
    assert json.loads((out / "plan.json").read_text())["candidates"]


def _started(server) -> int:
    until(lambda: any(row.pid for row in server.store.find(states=("running",))))
    return server.store.find(states=("running",))[0].pid


def test_kill_returns_at_once_and_ends_the_worker_there(serve, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server = serve()
    remote = RemoteRunner(client_of(server))
    remote.start(plan_of(case, tmp_path / "out"))
    pid = _started(server)
    until(lambda: remote._id)
    remote.kill()
    with pytest.raises(CancelledError):
        assert remote.wait(60.0) is not None
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    until(lambda: server.jobs.running == 0)


def test_cancel_does_not_wait_for_a_server_that_says_nothing(case, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = ServerClient(Address.parse(f"127.0.0.1:{silent.getsockname()[1]}"), lambda: "x" * 20)
        with RemoteRunner(client) as remote:
            remote.start(plan_of(case, tmp_path / "out"))
            assert remote.wait(0.2) is None
            remote.cancel()
            with pytest.raises(CancelledError):
                remote.wait(60.0)
    # its thread ends a little later
    until(lambda: not (tmp_path / "out").exists())


def test_cancel_does_not_wait_for_a_server_that_was_lost(serve, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, events = serve(), []
    remote = RemoteRunner(client_of(server), retry_s=(600.0,))
    remote.start(plan_of(case, tmp_path / "out"), events.append)
    until(lambda: any(e.kind == "partial" for e in events))
    server.stop()
    until(lambda: any("trying again" in e.message for e in events))
    remote.cancel()
    with pytest.raises(CancelledError, match="could not be reached"):
        remote.wait(60.0)


def test_an_error_in_a_callback_reaches_wait_and_ends_the_job(serve, case, tmp_path):
    server = serve()

    def on_event(event):
        if event.kind == "partial":
            raise ValueError("in the callback")

    with RemoteRunner(client_of(server)) as remote:
        remote.start(plan_of(case, tmp_path / "out"), on_event)
        with pytest.raises(ValueError, match="in the callback"):
            remote.wait(60.0)
        with pytest.raises(WorkerError, match="before"):
            remote.start(plan_of(case, tmp_path / "out"))
    until(lambda: server.jobs.running == 0)
    with pytest.raises(WorkerError, match="not been started"):
        RemoteRunner(client_of(server)).wait()


def test_a_stream_that_breaks_is_taken_up_where_it_was(serve, tap, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, events = serve(), []
    line = tap(server.url)
    line.cuts_left, line.cut_after = 3, 700
    go(server, plan_of(case, tmp_path / "out"), events, url=line.url, retry_s=(0.05,) * 5)
    assert line.cuts_left == 0, "it was cut"
    assert [e for e in events if "broke; trying again" in e.message]
    bests = [e.data["evaluated_protocols"] for e in events if e.kind == "partial"]
    assert bests == [1, 2, 3, 4, 5, 6], "nothing twice, nothing lost"


def test_a_server_that_is_lost_is_given_up_after_some_tries(serve, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, events = serve(), []
    remote = RemoteRunner(client_of(server), retry_s=(0.01, 0.01))
    remote.start(plan_of(case, tmp_path / "out"), events.append)
    until(lambda: any(e.kind == "partial" for e in events))
    server.stop()
    with pytest.raises(ServerUnreachableError, match="lost while the job ran.*tried 2 times"):
        remote.wait(60.0)
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["candidates"], "the best so far is kept"


def test_a_job_that_was_removed_there_is_said(serve, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, events = serve(), []
    remote = RemoteRunner(client_of(server))
    remote.start(plan_of(case, tmp_path / "out"), events.append)
    until(lambda: any(e.kind == "partial" for e in events))
    server.jobs.remove(server.store.find()[0])
    with pytest.raises(ServerError, match="lost the job"):
        remote.wait(60.0)


def test_a_job_goes_on_after_the_server_was_started_again(serve, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, events = serve(), []
    remote = RemoteRunner(client_of(server), retry_s=(0.2,) * 100)
    remote.start(plan_of(case, tmp_path / "out"), events.append)
    until(lambda: any(e.kind == "partial" for e in events))
    port = int(server.url.rpartition(":")[2])
    server.stop()
    monkeypatch.delenv("MEWM_FAKE")
    again = serve(data=server.data, port=port)
    with remote:
        assert remote.wait(60.0)["candidates"] == 6
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["stopped_by"] == "finished"
    assert any("interrupted" in e.message for e in events) and again.folders() == []


# what answers, and which error that is


class _Answer(BaseHTTPRequestHandler):
    status, content, headers_to_send = 404, b"<html>no</html>", {}

    def do_GET(self):
        self.send_response(self.status)
        for name, value in self.headers_to_send.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    do_POST = do_GET

    def log_message(self, *_):
        """Silence."""


@pytest.fixture
def answering():
    """A small web server that answers always the same; returns its address."""
    servers = []

    def make(status: int = 200, content: bytes | dict = b"", **headers: str) -> str:
        text = json.dumps(content).encode() if isinstance(content, dict) else content
        body = {"status": status, "content": text, "headers_to_send": headers}
        servers.append(HTTPServer(("127.0.0.1", 0), type("Answer", (_Answer,), body)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def _version_error(url: str, **more) -> MeWMError:
    with pytest.raises(MeWMError) as caught:
        ServerClient(Address.parse(url), lambda: "x" * 20).version(**more)
    error = caught.value
    assert error.what and error.given and error.remedy and "x" * 20 not in str(error)
    return error


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    error = _version_error(f"http://127.0.0.1:{port}")
    assert type(error) is ServerUnreachableError and "nothing answers" in error.what


def test_a_name_that_nobody_knows():
    error = _version_error("http://no-such-host.invalid:1")
    assert type(error) is ServerUnreachableError and "name" in error.what


def test_a_server_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        error = _version_error(url, answer_s=0.3)
    assert type(error) is ServerUnreachableError and "in time" in error.what


def test_a_wrong_token(serve):
    server = serve()
    with pytest.raises(ServerTokenError, match="does not know this token"):
        client_of(server, token="y" * 20).version()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ServerTokenError),
        (403, ServerTokenError),
        (404, NotAServerError),
        (302, NotAServerError),
        (413, UploadTooLargeError),
        (503, ServerBusyError),
        (502, ServerUnreachableError),
        (504, ServerUnreachableError),
        (500, ServerError),
    ],
)
def test_each_status_is_an_error_of_its_own(answering, status, kind):
    headers = {"Location": "http://example.invalid/"} if status == 302 else {}
    assert type(_version_error(answering(status, b"<html>", **headers))) is kind


@pytest.mark.parametrize(
    "content", [b"<html>hello</html>", b"[]", b"{}", {"mewm_protocol": 1}, {"mewm_protocol": PROTOCOL}]
)
def test_something_else_that_answers(answering, content):
    assert type(_version_error(answering(200, content))) is NotAServerError


def test_another_protocol_names_both_versions(answering):
    error = _version_error(answering(200, {"mewm_protocol": "0.7", "mewm": "9.9.9"}))
    assert type(error) is ServerError and "another version" in error.what
    assert all(text in error.given for text in ("9.9.9", "0.7", PROTOCOL))


def test_a_busy_server_is_not_sent_anything(serve, tap, case, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server = serve(limits={"max_queued": 0})
    first = RemoteRunner(client_of(server))
    first.start(plan_of(case, tmp_path / "one"))
    _started(server)
    line = tap(server.url)
    with pytest.raises(ServerBusyError, match="1 of at most 1"):
        go(server, plan_of(case, tmp_path / "two"), url=line.url)
    assert b"NRRD" not in line.sent
    first.close()


def test_a_case_that_is_too_large_is_not_sent(serve, tap, case, tmp_path):
    server = serve(limits={"max_upload_bytes": 100})
    line = tap(server.url)
    with pytest.raises(UploadTooLargeError):
        go(server, plan_of(case, tmp_path / "out"), url=line.url)
    assert b"NRRD" not in line.sent


def test_a_model_that_the_server_lacks(serve, case, tmp_path):
    job = plan_of(case, tmp_path / "out")
    with pytest.raises(BundleError, match="mewm-huge.*it has.*mewm-small"):
        go(serve(), Job(job.kind, job.inputs, job.out, bundle="mewm-huge"))


def test_tls_is_verified(serve, certificate, monkeypatch):
    server = serve(certificate=certificate[0], key=certificate[1])
    assert server.url.startswith("https://")
    with pytest.raises(ServerError, match="not trusted"):
        client_of(server).version()
    with pytest.raises(ServerUnreachableError, match="https://"):
        client_of(server, server.url.replace("https", "http")).version()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    assert client_of(server).version().max_jobs == 1


def test_https_to_a_server_without(serve):
    server = serve()
    with pytest.raises(ServerError, match="does not speak HTTPS"):
        client_of(server, server.url.replace("http", "https")).version()


def test_a_netrc_file_does_not_take_the_place_of_the_token(serve, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert client_of(serve()).version().jobs == 0


def test_a_result_that_was_damaged_on_its_way(serve, case, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_http.ServerClient, "files", lambda self, job_id: [_entry()])
    with pytest.raises(ServerError, match="damaged"):
        go(serve(), plan_of(case, tmp_path / "out"))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["plan.json"], "the plan of the search, nothing half"
    simulate = plan_of(case, tmp_path / "other", "simulate", protocol="Cisplatin + Lipiodol")
    with pytest.raises(ServerError, match="damaged"):
        go(serve(), simulate)
    assert not (tmp_path / "other").exists()


def _entry():
    from MeWMLib.jobs.wire import FileEntry

    return FileEntry("run.json", 5, "0" * 64)


def test_a_server_cannot_write_elsewhere(serve, case, tmp_path, monkeypatch):
    from MeWMLib.jobs.wire import FileEntry

    for name in ("../evil", "/tmp/evil", "a/b", "", "..", ".x"):
        with pytest.raises(InputError):
            FileEntry(name, 1, "0" * 64)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("gpu-box", "http://gpu-box:8642"),
        (" gpu-box:9000/ ", "http://gpu-box:9000"),
        ("https://mewm.example.org/tace/", "https://mewm.example.org/tace"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_addresses(text, url):
    assert Address.parse(text).url == url


@pytest.mark.parametrize(
    "text", ["", "ftp://x", "http://", "http://u:p@x", "http://x?token=1", "http://x:99999", "a b"]
)
def test_what_is_no_address(text):
    with pytest.raises(InputError) as caught:
        Address.parse(text)
    assert ":p@" not in str(caught.value)


def test_which_addresses_are_this_computer():
    found = [
        Address.parse(a).is_loopback for a in ("localhost", "127.0.0.5:1", "[::1]", "gpu-box", "localhost.evil.org")
    ]
    assert found == [True, True, True, False, False]


def test_compressed_voxels_are_seen_by_the_search():
    assert b"inside" in _unpacked(b"head" + gzip.compress(b"inside"))
