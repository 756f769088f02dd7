"""Exports into a PACS and studies out of it, over DICOMweb and DIMSE, and everything that may go wrong in between."""

from __future__ import annotations

import importlib.util
import io
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from MeWMLib.core.errors import (
    InputError,
    OutputError,
    PacsError,
    PacsRefusedError,
    PacsUnreachableError,
    UnreadableFileError,
)
from MeWMLib.core.io import read_volume
from MeWMLib.exchange import transfer
from MeWMLib.exchange.address import PacsAddress, is_address
from MeWMLib.exchange.clients import connect
from MeWMLib.exchange.dicomweb import reason_of
from MeWMLib.exchange.dimse_receiver import receiving
from MeWMLib.exchange.export import MANIFEST
from MeWMLib.exchange.pacs import THERE, credentials_of
from MeWMLib.exchange.verify import verify_export

for _package in ("dicomweb_client", "pynetdicom"):
    pytest.importorskip(_package, reason=f'{_package} is not installed: pip install "mewm[pacs]"')

_SPEC = importlib.util.spec_from_file_location("mewm_fake_pacs", Path(__file__).with_name("fake_pacs.py"))
assert _SPEC is not None and _SPEC.loader is not None
fake = importlib.util.module_from_spec(_SPEC)
sys.modules["mewm_fake_pacs"] = fake
_SPEC.loader.exec_module(fake)

SEG = "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
    for name in ("MEWM_PACS_TOKEN", "MEWM_PACS_USER", "MEWM_PACS_PASSWORD", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("MeWMLib.exchange.pacs.from_keyring", lambda *_: "")


@pytest.fixture
def store(planned):
    """A PACS that holds the scan of the plan."""
    one = fake.Store()
    for path in planned.dicom.iterdir():
        one.add(path.read_bytes())
    return one


@pytest.fixture(params=["dicomweb", "dimse"])
def pacs(request, store):
    """The address of the PACS, over either protocol."""
    with getattr(fake, request.param)(store) as place:
        yield PacsAddress.parse(f"{request.param}:{place}", need_study=False)


def named(address, study, series=""):
    """The address with a study."""
    query = f"?study={study}" + (f"&series={series}" if series else "")
    return PacsAddress.parse(f"{address.kind}:{address.place}{query}")


def test_a_scan_comes_out_and_the_results_go_back(pacs, store, planned, exported, tmp_path):
    address = named(pacs, exported.study)
    client = connect(address)
    assert transfer.pull(client, address, tmp_path / "scan", "CT") == 8
    again = read_volume(tmp_path / "scan")
    assert np.array_equal(again.array, planned.ct.array) and again.geometry.same_as(planned.ct.geometry)
    seen = []
    pushed = transfer.push(client, exported.folder, lambda *step: seen.append(step))
    assert pushed.count("sent") == exported.objects and not pushed.new_study
    assert seen[-1][:2] == (exported.objects, exported.objects)
    # fetched back: every object shows what it showed, and lies in the same study as the scan
    assert transfer.pull(client, address, tmp_path / "all") == 8 + exported.objects
    found = verify_export(tmp_path / "all")
    assert found.study == exported.study and found.fingerprints == exported.objects and found.foreign == 8
    again = transfer.push(client, exported.folder)
    assert again.count(THERE) == exported.objects
    assert not any("wrong" in path for path in store.asked), "addresses are made from the base, not from RetrieveURL"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_study_is_moved_to_a_port_of_ours(store, exported, tmp_path):
    port = free_port()
    with fake.dimse(store, known={"MEWM": port}) as place:
        address = PacsAddress.parse(f"dimse:{place}?study={exported.study}&move={port}")
        client = connect(address)
        assert transfer.pull(client, address, tmp_path / "scan", "CT") == 8
        names = {f"{uid}.dcm" for uid in store.objects}
        assert {p.name for p in (tmp_path / "scan").iterdir()} == names
        for path in (tmp_path / "scan").iterdir():
            mine, theirs = pydicom.dcmread(path), pydicom.dcmread(io.BytesIO(store.objects[path.stem]))
            assert mine.PixelData == theirs.PixelData and mine.ImagePositionPatient == theirs.ImagePositionPatient
        with socket.socket() as asked:  # nothing listens there any more
            assert asked.connect_ex(("127.0.0.1", port)) != 0
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            other = taken.getsockname()[1]
            address = PacsAddress.parse(f"dimse:{place}?study={exported.study}&move={other}")
            with pytest.raises(PacsError, match=rf"cannot be opened.*port {other}"):
                transfer.pull(connect(address), address, tmp_path / "again")
    with fake.dimse(store) as place:
        address = PacsAddress.parse(f"dimse:{place}?study={exported.study}&move={port}")
        with pytest.raises(PacsError, match=rf"does not know to which computer.*MEWM.*port {port}"):
            transfer.pull(connect(address), address, tmp_path / "again")
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["scan"]


def test_the_port_of_a_move_takes_nothing_else(planned):
    from pynetdicom import AE

    port = free_port()
    address = PacsAddress.parse(f"dimse:PACS@127.0.0.1:104?study=1.2&move={port}&aet=US")
    files = sorted(planned.dicom.iterdir())[:2]
    wanted, other = (pydicom.dcmread(path) for path in files)
    with receiving(address, [wanted.SOPClassUID], ["1.2.840.10008.1.2.1"], {str(wanted.SOPInstanceUID)}) as received:
        entity = AE()
        entity.add_requested_context(wanted.SOPClassUID, "1.2.840.10008.1.2.1")
        link = entity.associate("127.0.0.1", port, ae_title="US")
        assert link.send_c_store(other).Status == 0x0124 and link.send_c_store(wanted).Status == 0
        link.release()
        assert not entity.associate("127.0.0.1", port, ae_title="OTHERS").is_established
    assert [one.SOPInstanceUID for one in received] == [wanted.SOPInstanceUID]


def test_messages_go_out_at_once(store):
    """pynetdicom 3.0.4 leaves Nagle's algorithm on: the second part of each message is 40 ms late."""
    with fake.dimse(store) as place:
        client = connect(PacsAddress.parse(f"dimse:{place}", need_study=False))
        with client._associated([(SEG, ["1.2.840.10008.1.2.1"])]) as link:
            used = link.dul.socket.socket
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("often", [1, 100])
def test_an_answer_that_pynetdicom_loses_is_asked_for_again(store, exported, tmp_path, monkeypatch, often):
    """Its reactor may take the first answer of a search from the loop that waits for it."""
    from pynetdicom.association import Association

    real, left = Association.send_c_find, [often]

    def losing(self, query, *more, **named):
        answers = real(self, query, *more, **named)
        if query.QueryRetrieveLevel == "IMAGE" and left[0]:
            left[0] -= 1
            context, message = self.dimse.get_msg(block=True)
            self._serve_request(message, context)
        return answers

    with fake.dimse(store) as place:
        pacs = PacsAddress.parse(f"dimse:{place}", need_study=False)
        client = connect(pacs)
        transfer.push(client, exported.folder)
        address = named(pacs, exported.study)
        whole = transfer.pull(client, address, tmp_path / "whole")
        monkeypatch.setattr(Association, "send_c_find", losing)
        if often == 1:
            assert transfer.pull(client, address, tmp_path / "all") == whole > 8
        else:
            with pytest.raises(PacsError, match="were lost, so that its list is not complete"):
                transfer.pull(client, address, tmp_path / "all")


def test_one_series_is_fetched_alone(pacs, exported, series_of, tmp_path):
    client = connect(pacs)
    transfer.push(client, exported.folder)
    series = str(series_of(exported, "simulated01_ct")[0].SeriesInstanceUID)
    address = named(pacs, exported.study, series)
    assert transfer.pull(client, address, tmp_path / "one") == 8
    assert {str(pydicom.dcmread(p).SeriesInstanceUID) for p in (tmp_path / "one").iterdir()} == {series}


def test_a_line_that_is_cut_is_said_and_the_second_push_completes_it(pacs, store, exported):
    store.cut_after = len(store.objects) + 5
    with pytest.raises(PacsUnreachableError, match=rf"of {exported.objects} objects are there.*goes on"):
        transfer.push(connect(pacs), exported.folder)
    assert 8 < len(store.objects) < 8 + exported.objects
    there = len(store.objects) - 8
    store.cut_after = None
    pushed = transfer.push(connect(pacs), exported.folder)
    assert pushed.count(THERE) == there and pushed.count("sent") == exported.objects - there
    assert len(store.objects) == 8 + exported.objects


def test_a_pull_that_is_cut_goes_on(pacs, exported, tmp_path, monkeypatch):
    address = named(pacs, exported.study)
    client = connect(address)
    whole = client.fetch
    asked = []

    def cut(study, wanted):
        asked.append(len(wanted))
        for n, data in enumerate(whole(study, wanted)):
            if n == 3 and len(asked) == 1:
                raise PacsUnreachableError("The connection to the PACS was cut")
            yield data

    monkeypatch.setattr(client, "fetch", cut)
    with pytest.raises(PacsUnreachableError):
        transfer.pull(client, address, tmp_path / "scan")
    assert not (tmp_path / "scan").exists()
    assert transfer.pull(client, address, tmp_path / "scan") == 8
    assert asked == [8, 5] and [p.name for p in tmp_path.iterdir()] == ["scan"]


def test_a_full_disk_of_the_pacs(pacs, store, exported, monkeypatch):
    client = connect(pacs)
    first = client.instances(exported.study)
    monkeypatch.setattr(client, "instances", lambda *_: first)
    store.status = 507
    with pytest.raises(PacsRefusedError, match=r"disk"):
        transfer.push(client, exported.folder)
    assert len(store.objects) == 8


def test_refused_classes_are_named_over_dicomweb_although_the_answer_is_200(store, exported):
    store.refuse = (SEG,)
    with fake.dicomweb(store) as place, pytest.raises(PacsRefusedError) as caught:
        transfer.push(connect(PacsAddress.parse(f"dicomweb:{place}", False)), exported.folder)
    assert "refused 5 of" in str(caught.value) and "SOP class is not supported" in str(caught.value)
    assert "dseg.dcm" in caught.value.given
    assert len(store.objects) == 8 + exported.objects - 5, "the others are there"


def test_refused_classes_are_named_over_dimse(store, exported):
    usual = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.34")
    with fake.dimse(store, classes=usual) as place, pytest.raises(PacsRefusedError, match="does not take its class"):
        transfer.push(connect(PacsAddress.parse(f"dimse:{place}", False)), exported.folder)
    assert len(store.objects) > 8 + 16
    with fake.dimse(fake.Store(), classes=()) as place, pytest.raises(PacsError):
        transfer.push(connect(PacsAddress.parse(f"dimse:{place}", False)), exported.folder)


def test_a_pacs_that_says_it_has_stored_and_has_not(pacs, store, exported):
    store.lie = True
    with pytest.raises(PacsError, match=rf"{exported.objects} of them are not found"):
        transfer.push(connect(pacs), exported.folder)


def test_another_object_under_a_known_uid_is_found(pacs, store, exported):
    path = sorted(next(exported.folder.glob("*simulated01_ct")).iterdir())[2]
    data = pydicom.dcmread(path)
    data.PixelData = bytes(len(data.PixelData))
    written = io.BytesIO()
    data.save_as(written, enforce_file_format=True)
    store.add(written.getvalue())
    with pytest.raises(PacsError, match="another object under the UID"):
        transfer.push(connect(pacs), exported.folder)


def test_a_damaged_export_is_not_sent(pacs, store, exported, tmp_path):
    copy = shutil.copytree(exported.folder, tmp_path / "copy")
    path = copy / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"SIMULATED", b"simulated") + b" ")
    with pytest.raises(UnreadableFileError):
        transfer.push(connect(pacs), copy)
    assert len(store.objects) == 8


def test_a_token_is_asked_for_and_found_in_the_environment(store, exported, tmp_path, monkeypatch):
    store.token = "a-token-of-the-tests"
    with fake.dicomweb(store) as place:
        address = PacsAddress.parse(f"dicomweb:{place}?study={exported.study}")
        with pytest.raises(PacsRefusedError, match=r"does not let us in.*MEWM_PACS_TOKEN"):
            transfer.pull(connect(address), address, tmp_path / "scan")
        monkeypatch.setenv("MEWM_PACS_TOKEN", "wrong-token")
        with pytest.raises(PacsRefusedError, match="does not let us in") as caught:
            transfer.pull(connect(address), address, tmp_path / "scan")
        assert "wrong-token" not in str(caught.value)
        monkeypatch.setenv("MEWM_PACS_TOKEN", store.token)
        assert transfer.pull(connect(address), address, tmp_path / "scan") == 8
        monkeypatch.delenv("MEWM_PACS_TOKEN")
        monkeypatch.setattr(
            "MeWMLib.exchange.pacs.from_keyring", lambda service, user: store.token if user == place else ""
        )
        assert transfer.pull(connect(address), address, tmp_path / "again") == 8


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"html": True}, "not DICOMweb"),
        ({"status": 404}, "does not know"),
        ({"status": 503}, "not ready"),
        ({"status": 500}, "refuses the request"),
        ({"status": 403}, "does not let us in"),
    ],
)
def test_answers_that_are_no_answer(store, exported, tmp_path, wrong, words):
    for name, value in wrong.items():
        setattr(store, name, value)
    with fake.dicomweb(store) as place:
        address = PacsAddress.parse(f"dicomweb:{place}?study={exported.study}")
        with pytest.raises(PacsError, match=words):
            transfer.pull(connect(address), address, tmp_path / "scan")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # pynetdicom 3.0.4 leaves its socket open
def test_nobody_answers(exported, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for text in (f"dicomweb:http://127.0.0.1:{port}/dw", f"dimse:PACS@127.0.0.1:{port}"):
        address = PacsAddress.parse(f"{text}?study={exported.study}")
        with pytest.raises(PacsUnreachableError, match="unreachable"):
            transfer.pull(connect(address), address, tmp_path / "scan")
    with fake.dicomweb(fake.Store()) as place:
        address = PacsAddress.parse(f"dicomweb:{place.replace('http', 'https')}?study={exported.study}")
        with pytest.raises(PacsError, match="does not speak HTTPS"):
            transfer.pull(connect(address), address, tmp_path / "scan")


def test_titles_and_studies_that_are_not_known(store, exported, tmp_path):
    with fake.dimse(store) as place:
        address = PacsAddress.parse(f"dimse:OTHER@{place.partition('@')[2]}?study={exported.study}")
        with pytest.raises(PacsRefusedError, match="refuses the association"):
            transfer.pull(connect(address), address, tmp_path / "scan")
        address = PacsAddress.parse(f"dimse:{place}?study=1.2.3")
        with pytest.raises(PacsError, match="holds no object of this study"):
            transfer.pull(connect(address), address, tmp_path / "scan")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(OutputError, match="not empty"):
        transfer.pull(connect(address), address, tmp_path / "full")


def test_an_object_that_was_not_asked_for_is_refused(pacs, exported, tmp_path, monkeypatch):
    address = named(pacs, exported.study)
    client = connect(address)
    whole = client.fetch

    def others(study, wanted):
        for data in whole(study, wanted):
            data.SOPInstanceUID = "1.2.3"
            yield data

    monkeypatch.setattr(client, "fetch", others)
    with pytest.raises(PacsError, match="another object than"):
        transfer.pull(client, address, tmp_path / "scan")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dicomweb:", "not the address of a PACS"),
        ("http://a/b", "not the address of a PACS"),
        ("dicomweb:ftp://a/b?study=1.2", "not the address of a DICOMweb service"),
        ("dicomweb:https://a/b", "names no study"),
        ("dicomweb:https://me:secret@a/b?study=1.2", "must not contain a password"),
        ("dicomweb:https://a/b?study=Smith", "not a UID"),
        ("dicomweb:https://a/b?study=1.2.*", "not a UID"),
        ("dicomweb:https://a/b?PatientName=Smith", "something else than a study"),
        ("dicomweb:https://a/b?study=1.2&study=1.3", "something else"),
        ("dicomweb:https://a/b?series=1.2", "without its study"),
        ("dimse:PACS@host?study=1.2", "not the address of a DIMSE service"),
        ("dimse:PACS@host:99999?study=1.2", "not the address of a DIMSE service"),
        ("dimse:PACS@host:104?study=1.2&move=no", "not a port"),
        ("dimse:PACS@host:104?study=1.2&move=0", "not a port"),
        ("dimse+tls:PACS@host:104?study=1.2&move=104", "C-MOVE.*not encrypted"),
        ("dicomweb:https://a/b?study=1.2&move=104", "can ask for a C-MOVE"),
        ("dimse:A TITLE THAT IS TOO LONG@host:104?study=1.2", "not the address of a DIMSE service"),
    ],
)
def test_addresses_that_are_none(text, words):
    with pytest.raises(InputError, match=words) as caught:
        PacsAddress.parse(text)
    assert "secret" not in str(caught.value)


def test_addresses():
    one = PacsAddress.parse("dicomweb:https://pacs.example.org:8443/dicom-web/?study=1.2.3&series=1.2.3.4")
    assert (one.place, one.study, one.series) == ("https://pacs.example.org:8443/dicom-web", "1.2.3", "1.2.3.4")
    assert not one.is_open and PacsAddress.parse("dicomweb:http://pacs/x?study=1.2").is_open
    assert not PacsAddress.parse("dicomweb:http://127.0.0.1:80/x?study=1.2").is_open
    two = PacsAddress.parse("dimse:ORTHANC@[::1]:4242?study=1.2&aet=ME")
    assert (two.title, two.host, two.port, two.our_title, two.place) == (
        "ORTHANC",
        "::1",
        4242,
        "ME",
        "ORTHANC@[::1]:4242",
    )
    assert PacsAddress.parse("dimse:A@host:104?study=1.2").is_open
    assert not PacsAddress.parse("dimse+tls:A@host:2762?study=1.2").is_open
    assert is_address("DICOMweb:https://a") and not is_address("/data/dicomweb") and not is_address("C:\\ct")


def test_credentials(monkeypatch):
    assert credentials_of("http://a").token == ""
    monkeypatch.setenv("MEWM_PACS_USER", "ann")
    with pytest.raises(PacsRefusedError, match="no password"):
        credentials_of("http://a")
    monkeypatch.setenv("MEWM_PACS_PASSWORD", "pass word")
    assert credentials_of("http://a").password == "pass word"
    monkeypatch.setenv("MEWM_PACS_TOKEN", "two words")
    with pytest.raises(PacsRefusedError, match="not a token"):
        credentials_of("http://a")
    for name in ("TOKEN", "USER", "PASSWORD"):
        monkeypatch.delenv(f"MEWM_PACS_{name}", raising=False)
    monkeypatch.setattr("MeWMLib.exchange.pacs.from_keyring", lambda *_: "bob:secret:1")
    assert (credentials_of("x").user, credentials_of("x").password) == ("bob", "secret:1")


@pytest.mark.parametrize(
    ("code", "words"),
    [(0x0122, "SOP class"), (0xA701, "full disk"), (0xA955, "does not match"), (0xC123, "understood"), (1, "refused")],
)
def test_reasons_in_words(code, words):
    assert words in reason_of(code) and f"{code:04X}" in reason_of(code)
