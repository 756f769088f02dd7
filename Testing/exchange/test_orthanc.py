"""A real PACS: Orthanc with its DICOMweb plugin, where it is installed (`make test-pacs`).

Orthanc listens on all addresses of a computer, so it and the tests run where there is no other than loopback: this file
starts itself again in a network namespace of its own. What it does there was seen with Orthanc 1.10.1 and DICOMweb 1.7.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests

from MeWMLib.core.errors import PacsError, PacsRefusedError, PacsUnreachableError
from MeWMLib.core.io import read_labels, read_volume
from MeWMLib.exchange import transfer
from MeWMLib.exchange.address import PacsAddress
from MeWMLib.exchange.clients import connect
from MeWMLib.exchange.export import ExportSettings, export_plan
from MeWMLib.exchange.pacs import THERE
from MeWMLib.exchange.verify import verify_export

INSIDE = "MEWM_TESTS_IN_NAMESPACE"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HTTP, DICOM, MOVE, USER, PASSWORD = 18042, 14242, 14243, "mewm", "a-password"


def _why_not() -> str:
    """Why there is no Orthanc to test with; "" if there is."""
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        return "Orthanc and its DICOMweb plugin are not installed: make test-pacs"
    for name in ("dicomweb_client", "pynetdicom"):
        try:
            __import__(name)
        except ImportError:
            return f'{name} is not installed: pip install "mewm[pacs]"'
    tried = subprocess.run(["unshare", "-rnm", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no network namespace can be made here (unshare -rnm)"


def loopback_up() -> None:
    """Bring up the loopback of a new network namespace, in which it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = struct.pack("16sH14s", b"lo", 0x1 | 0x40, b"")  # up, running
        fcntl.ioctl(any_socket, 0x8914, name)  # SIOCSIFFLAGS


@pytest.mark.skipif(INSIDE in os.environ, reason="this is the inside")
@pytest.mark.slow
def test_everything_with_a_real_pacs(tmp_path):
    if why := _why_not():
        pytest.skip(why)
    command = [
        "unshare", "-rnm", sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=short",
        f"--basetemp={tmp_path / 'inside'}", __file__,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=500, env={**os.environ, INSIDE: "1"}
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


inside = pytest.mark.skipif(INSIDE not in os.environ, reason="needs the network namespace")


class Orthanc:
    """One Orthanc with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "store").mkdir(parents=True, exist_ok=True)
        settings = {
            "Name": "tests", "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"),
            "HttpPort": HTTP, "DicomPort": DICOM, "DicomAet": "ORTHANC", "RemoteAccessAllowed": True,
            "AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD}, "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowFind": True, "DicomAlwaysAllowMove": True,
            "DicomModalities": {"us": ["MEWM", "127.0.0.1", MOVE]},
            "DicomAlwaysAllowEcho": True, "DicomAlwaysAllowStore": True,
            "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(settings))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            command = ["Orthanc", str(self.folder / "orthanc.json")]
            # DCMTK 3.6.7 of Debian waits 40 ms at the end of each message without it
            env = {**os.environ, "TCP_NODELAY": "1"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        for _ in range(300):
            try:
                requests.get(f"http://127.0.0.1:{HTTP}/system", auth=(USER, PASSWORD), timeout=2).raise_for_status()
            except requests.RequestException:
                time.sleep(0.1)
            else:
                return
        pytest.fail((self.folder / "log").read_text()[-2000:])

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def objects(self) -> int:
        """How many objects it holds."""
        answer = requests.get(f"http://127.0.0.1:{HTTP}/statistics", auth=(USER, PASSWORD), timeout=10)
        return int(answer.json()["CountInstances"])


@pytest.fixture
def orthanc(tmp_path, monkeypatch) -> Iterator[Orthanc]:
    loopback_up()
    monkeypatch.setenv("MEWM_PACS_USER", USER)
    monkeypatch.setenv("MEWM_PACS_PASSWORD", PASSWORD)
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    yield server
    server.stop(signal.SIGKILL)  # nobody needs what it holds; to end in order takes it seconds


WEB = f"dicomweb:http://127.0.0.1:{HTTP}/dicom-web"
NET = f"dimse:ORTHANC@127.0.0.1:{DICOM}"


def store_scan(address, folder):
    """Store a scan as a hospital would have."""
    statuses = []
    connect(PacsAddress.parse(address, False)).store(transfer.outgoing(folder), statuses.append)
    assert {one.state for one in statuses} == {"sent"}


@inside
@pytest.mark.parametrize("kind", [WEB, NET])
def test_the_round_trip(orthanc, planned, make_plan, tmp_path, kind):
    store_scan(kind, planned.dicom)
    study = str(pydicom.dcmread(next(planned.dicom.iterdir())).StudyInstanceUID)
    address = PacsAddress.parse(f"{kind}?study={study}")
    client = connect(address)
    assert transfer.pull(client, address, tmp_path / "scan", "CT") == 8
    again = read_volume(tmp_path / "scan")
    assert np.array_equal(again.array, planned.ct.array) and again.geometry.same_as(planned.ct.geometry)
    mine = make_plan(tmp_path / "scan", planned.labels, tmp_path / "plan")
    done = export_plan(mine.plan, tmp_path / "out", ExportSettings(reference=tmp_path / "scan"))
    pushed = transfer.push(client, done.folder)
    assert pushed.count("sent") == done.objects and not pushed.new_study
    assert transfer.pull(client, address, tmp_path / "all") == 8 + done.objects
    found = verify_export(tmp_path / "all")
    assert found.study == study and found.fingerprints == done.objects and found.foreign == 8
    # byte for byte in pixels, the same place, the same labels
    sent = {str(d.SOPInstanceUID): d for d in map(pydicom.dcmread, done.folder.rglob("*.dcm"))}
    for path in (tmp_path / "all").iterdir():
        data = pydicom.dcmread(path)
        one = sent.get(str(data.SOPInstanceUID))
        if one is not None and "PixelData" in one:
            assert data.PixelData == one.PixelData
        if data.Modality == "SEG" and "before" in data.SeriesDescription:
            assert np.array_equal(read_labels(path, planned.ct.geometry).array, planned.labels)
    assert transfer.push(client, done.folder).count(THERE) == done.objects
    if kind == NET:  # it sends the same to a port of ours
        address = PacsAddress.parse(f"{kind}?study={study}&move={MOVE}")
        assert transfer.pull(connect(address), address, tmp_path / "moved") == 8 + done.objects
        for path in (tmp_path / "moved").iterdir():
            one, two = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "all" / path.name)
            assert one.get("PixelData") == two.get("PixelData") and one.SOPClassUID == two.SOPClassUID


@inside
def test_it_is_killed_in_the_middle_and_the_second_push_completes_the_first(orthanc, exported, monkeypatch):
    monkeypatch.setattr("MeWMLib.exchange.dimse._MESSAGE_S", 4)  # pynetdicom waits for the answer of the dead
    client = connect(PacsAddress.parse(NET, False))

    def step(done, total, text):
        if done == 9:
            orthanc.stop(signal.SIGKILL)

    with pytest.raises(PacsUnreachableError, match=r"9 of \d+ objects are there"):
        transfer.push(client, exported.folder, step)
    orthanc.start()
    there = orthanc.objects()
    assert there == 9
    pushed = transfer.push(connect(PacsAddress.parse(WEB, False)), exported.folder)
    assert pushed.count(THERE) == there and orthanc.objects() == exported.objects


@inside
def test_a_wrong_password(orthanc, exported, monkeypatch):
    monkeypatch.setenv("MEWM_PACS_PASSWORD", "wrong")
    with pytest.raises(PacsRefusedError, match="does not let us in"):
        transfer.push(connect(PacsAddress.parse(WEB, False)), exported.folder)
    assert orthanc.objects() == 0


@inside
@pytest.mark.parametrize("kind", [WEB, NET])
def test_a_full_disk(orthanc, exported, tmp_path, kind):
    orthanc.stop(signal.SIGKILL)
    place = tmp_path / "orthanc" / "store"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)], check=True)
    try:
        orthanc.start()
        with pytest.raises(PacsError, match=r"refused|refuses|not found there|are not"):
            transfer.push(connect(PacsAddress.parse(kind, False)), exported.folder)
        orthanc.stop()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    orthanc.start()
    assert transfer.push(connect(PacsAddress.parse(kind, False)), exported.folder).count("sent") == exported.objects


@inside
def test_label_maps_are_taken_by_dicomweb_and_refused_by_dimse(orthanc, planned, tmp_path):
    done = export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=planned.dicom, kind="LABELMAP"))
    with pytest.raises(PacsRefusedError, match="does not take its class of objects"):
        transfer.push(connect(PacsAddress.parse(NET, False)), done.folder)
    pushed = transfer.push(connect(PacsAddress.parse(WEB, False)), done.folder)
    assert pushed.count("sent") == 5 and pushed.count(THERE) == done.objects - 5
    # its C-GET does not send them though their class is negotiated; all else comes, and DICOMweb gives the rest
    address = PacsAddress.parse(f"{NET}?study={done.study}")
    with pytest.raises(PacsRefusedError, match=r"does not send a series \(SEG\).*DICOMweb"):
        transfer.pull(connect(address), address, tmp_path / "all")
    part = tmp_path / ".all.part"
    assert sum(1 for _ in part.iterdir()) == done.objects - 5
    address = PacsAddress.parse(f"{WEB}?study={done.study}")
    assert transfer.pull(connect(address), address, tmp_path / "all") == done.objects and not part.exists()


@inside
def test_another_object_under_a_known_uid_is_found(orthanc, exported, tmp_path):
    client = connect(PacsAddress.parse(WEB, False))
    folder = next(exported.folder.glob("*simulated01_ct"))
    copy = shutil.copytree(folder, tmp_path / "other")
    for path in copy.iterdir():
        data = pydicom.dcmread(path)
        data.PixelData = bytes(len(data.PixelData))
        data.save_as(path)
    store_scan(WEB, copy)
    store_scan(WEB, folder)  # the PACS keeps the old ones, and reports success
    kept = next(client.fetch(exported.study, client.instances(exported.study)[:1]))
    assert not any(kept.PixelData)
    with pytest.raises(PacsError, match="another object under the UID"):
        transfer.push(client, exported.folder)
