"""Small PACS in this process: one that speaks DICOMweb, one that speaks DIMSE. Each can be told to go wrong."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.dataset import Dataset


@dataclass
class Store:
    """What a PACS holds, and how it goes wrong.

    Attributes:
        objects: by SOPInstanceUID, as bytes of a file; a second one of a UID is dropped, as Orthanc does.
        token: that a request must carry; "" for none.
        refuse: SOP classes that are refused, with a failure reason in an answer of success.
        status: of every answer, other than 200.
        cut_after: how many objects are stored before the line is cut; None never.
        lie: says that all is stored, and stores nothing.
        html: answers with a page of a proxy.
        asked: paths of the requests.
        heads: the headers of the objects.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    refuse: tuple[str, ...] = ()
    status: int = 200
    cut_after: int | None = None
    lie: bool = False
    html: bool = False
    asked: list[str] = field(default_factory=list)
    heads: dict[str, Dataset] = field(default_factory=dict)

    def add(self, content: bytes) -> Dataset:
        """Keep an object unless it is there."""
        data = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        if not self.lie:
            self.objects.setdefault(str(data.SOPInstanceUID), content)
            self.heads.setdefault(str(data.SOPInstanceUID), data)
        return data

    def read(self) -> list[Dataset]:
        """Headers of all objects."""
        return list(self.heads.values())


class _Handler(BaseHTTPRequestHandler):
    store: Store

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stopped(self) -> bool:
        """Answer at once where the server is told to go wrong."""
        store = self.store
        store.asked.append(self.path)
        if store.token and self.headers.get("Authorization") != f"Bearer {store.token}":
            self._answer(401, b"", "text/plain")
        elif store.html:
            self._answer(200, b"<html>Please log in</html>", "text/html")
        elif store.status != 200:
            self._answer(store.status, b"", "text/plain")
        else:
            return False
        return True

    def do_GET(self) -> None:
        if self._stopped():
            return
        parts = urlsplit(self.path)
        found = re.fullmatch(r"/dw/studies/([\d.]+)(?:/series/([\d.]+))?/instances(?:/([\d.]+))?", parts.path)
        if found is None:
            self._answer(404, b"", "text/plain")
            return
        study, series, sop = found.groups()
        if sop:
            self._send(self.store.objects[sop])
            return
        query = parse_qs(parts.query)
        start, count = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["100"])[0])
        members = [
            one for one in self.store.read()
            if one.StudyInstanceUID == study and (not series or one.SeriesInstanceUID == series)
        ]  # fmt: skip
        entries = []
        for one in members[start : start + count]:
            entry = Dataset()
            for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality"):
                setattr(entry, name, one.get(name))
            entry.RetrieveURL = "http://inside.example/dicom-web/wrong"
            entries.append(entry.to_json_dict())
        self._answer(200, json.dumps(entries).encode(), "application/dicom+json")

    def _send(self, content: bytes) -> None:
        edge = b"edge"
        body = b"--" + edge + b"\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--" + edge + b"--\r\n"
        self._answer(200, body, 'multipart/related; type="application/dicom"; boundary=edge')

    def _body(self) -> bytes:
        """The body, also one that comes in chunks, as dicomweb-client sends all that is larger than a megabyte."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def do_POST(self) -> None:
        body = self._body()
        if self._stopped():
            return
        edge = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
        assert edge is not None
        answer = Dataset()
        answer.ReferencedSOPSequence, answer.FailedSOPSequence = [], []
        for part in body.split(b"--" + edge[1].encode())[1:-1]:
            if self.store.cut_after is not None and len(self.store.objects) >= self.store.cut_after:
                self.connection.close()
                return
            content = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            head = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = head.SOPClassUID, head.SOPInstanceUID
            if head.SOPClassUID in self.store.refuse:
                item.FailureReason = 0x0122
                answer.FailedSOPSequence.append(item)
            else:
                self.store.add(content)
                answer.ReferencedSOPSequence.append(item)
        # as some servers do: an answer of success with the failures inside
        self._answer(200, json.dumps(answer.to_json_dict()).encode(), "application/dicom+json")


@contextmanager
def dicomweb(store: Store) -> Iterator[str]:
    """Serve a store over DICOMweb on this computer alone; gives the address."""
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dw"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def dimse(
    store: Store,
    title: str = "PACS",
    classes: tuple[str, ...] | None = None,
    known: dict[str, int] | None = None,
) -> Iterator[str]:
    """Serve a store over DIMSE on this computer alone; gives "TITLE@127.0.0.1:PORT".

    Args:
        store: the objects.
        title: that must be called.
        classes: that are accepted; None for all that an export has.
        known: titles to which it moves objects, and their ports on this computer.
    """
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import (
        StudyRootQueryRetrieveInformationModelFind as Find,
    )
    from pynetdicom.sop_class import (
        StudyRootQueryRetrieveInformationModelGet as Get,
    )
    from pynetdicom.sop_class import (
        StudyRootQueryRetrieveInformationModelMove as Move,
    )

    entity = AE(ae_title=title)
    entity.require_called_aet = True
    for name in (Find, Get, Move):
        entity.add_supported_context(name)
    usual = (
        "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7",
        "1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.104.1",
    )  # fmt: skip
    for name in usual if classes is None else classes:
        entity.add_requested_context(name)
        entity.add_supported_context(name, scu_role=True, scp_role=True)

    def stored(event: Any) -> int:
        if store.cut_after is not None and len(store.objects) >= store.cut_after:
            event.assoc.abort()
            return 0xA700
        if store.status != 200:
            return 0xA700  # out of resources
        data = event.dataset
        data.file_meta = event.file_meta
        written = io.BytesIO()
        data.save_as(written, enforce_file_format=True)
        store.add(written.getvalue())
        return 0x0000

    def found(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        level, seen = query.QueryRetrieveLevel, set()
        for one in store.read():
            if one.StudyInstanceUID != query.StudyInstanceUID:
                continue
            if query.get("SeriesInstanceUID") and one.SeriesInstanceUID != query.SeriesInstanceUID:
                continue
            key = one.SeriesInstanceUID if level == "SERIES" else one.SOPInstanceUID
            if key in seen:
                continue
            seen.add(key)
            entry = Dataset()
            entry.QueryRetrieveLevel = level
            names = ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SOPInstanceUID", "SOPClassUID")
            for name in names[: 3 if level == "SERIES" else 5]:
                setattr(entry, name, one[name].value)
            yield 0xFF00, entry

    def sent(event: Any) -> Iterator[Any]:
        wanted = event.identifier.SOPInstanceUID
        wanted = [wanted] if isinstance(wanted, str) else list(wanted)
        yield len(wanted)
        for sop in wanted:
            yield 0xFF00, pydicom.dcmread(io.BytesIO(store.objects[sop]))

    def moved(event: Any) -> Iterator[Any]:
        port = (known or {}).get(event.move_destination)
        if port is None:
            yield None, None
            return
        yield "127.0.0.1", port
        yield from sent(event)

    def at_once(event: Any) -> None:
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    handlers = [(evt.EVT_C_MOVE, moved), (evt.EVT_C_STORE, stored), (evt.EVT_C_FIND, found), (evt.EVT_C_GET, sent)]
    handlers.append((evt.EVT_CONN_OPEN, at_once))
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield f"{title}@127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
