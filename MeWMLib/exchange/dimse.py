"""A PACS over DIMSE: found (C-FIND), fetched (C-GET or C-MOVE), stored (C-STORE) with pynetdicom.

Only the classes that occur are negotiated, each by its own context. A C-GET ends with the first object whose class was
not; a list of usual classes lacks label maps and parametric maps.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import socket
import ssl
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from MeWMLib.core.dicom.packages import package
from MeWMLib.core.errors import PacsError, PacsRefusedError, PacsUnreachableError, optional_packages
from MeWMLib.exchange.address import DIMSE_TLS, PacsAddress
from MeWMLib.exchange.dicomweb import reason_of
from MeWMLib.exchange.dimse_receiver import receiving
from MeWMLib.exchange.pacs import FAILED, SENT, Instance, Outgoing, Status

_FIND, _GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
#: The PACS does not know to whom it should send.
_UNKNOWN_DESTINATION = 0xA801
#: Seconds to connect, for the association, and between two messages.
_CONNECT_S, _ASSOCIATE_S, _MESSAGE_S = 10, 20, 120
#: An association has at most so many contexts.
_MOST_CONTEXTS = 126
#: Transfer syntaxes in which objects are taken as they are.
_SYNTAXES = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5",
)  # fmt: skip
_AGAIN = "The same command goes on with what is missing"
#: How often a search is asked of which an answer was lost.
_ATTEMPTS = 3


class Dimse:
    """The client of one DIMSE service."""

    def __init__(self, address: PacsAddress) -> None:
        with optional_packages("A PACS over DIMSE", "pacs"):
            import pynetdicom
        self._net = pynetdicom
        self._address = address

    def instances(self, study: str, series: str = "") -> list[Instance]:
        found = []
        with self._associated([(_FIND, _SYNTAXES[:2])]) as link:
            for one in self._find(link, "SERIES", study, series, ("Modality",)):
                uid, modality = str(one.SeriesInstanceUID), str(one.get("Modality", ""))
                for entry in self._find(link, "IMAGE", study, uid, ("SOPInstanceUID", "SOPClassUID")):
                    found.append(Instance(uid, str(entry.SOPInstanceUID), str(entry.get("SOPClassUID", "")), modality))
        return list({one.sop: one for one in found}.values())

    def _find(self, link: Any, level: str, study: str, series: str, fields: Sequence[str]) -> list[Any]:
        query = package("pydicom").Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID, query.SeriesInstanceUID = level, study, series
        for name in fields:
            setattr(query, name, "")
        for _ in range(_ATTEMPTS):
            entries = []
            link.mewm_lost.clear()
            for status, entry in link.send_c_find(query, _FIND):
                self._require_status(status, "The PACS refuses the search")
                if entry is not None:
                    entries.append(entry)
            if not link.mewm_lost:
                return entries
        raise PacsError(
            what="Answers of the PACS were lost, so that its list is not complete",
            given=self._address.place,
            remedy="Do it again when the computer has less to do, or use DICOMweb",
        )

    def fetch(self, study: str, wanted: Sequence[Instance]) -> Iterator[Any]:
        refused: PacsRefusedError | None = None
        for series in dict.fromkeys(one.series for one in wanted):
            members = [one for one in wanted if one.series == series]
            try:
                yield from (self._move if self._address.move_port else self._get)(study, series, members)
            except PacsRefusedError as error:  # some send no label maps; the other series come all the same
                classes = ", ".join(sorted({one.modality for one in members}))
                refused = PacsRefusedError(
                    what=f"The PACS does not send a series ({classes}) by {self._how}; the others have come",
                    given=error.given,
                    remedy="Fetch it over DICOMweb",
                )
        if refused is not None:
            raise refused

    def _get(self, study: str, series: str, members: Sequence[Instance]) -> list[Any]:
        """The objects of one series, by one C-GET that names them."""
        received: list[Any] = []

        def keep(event: Any) -> int:
            data = event.dataset
            data.file_meta = event.file_meta
            received.append(data)
            return 0x0000

        classes = _classes(members)
        contexts = [(_GET, _SYNTAXES[:2]), *((name, _SYNTAXES) for name in classes)]
        handlers = [(self._net.evt.EVT_C_STORE, keep)]
        with self._associated(contexts, handlers, classes) as link:
            for status, _ in link.send_c_get(_named(study, series, members), _GET):
                self._require_status(status, "The PACS stopped sending")
        return received

    def _move(self, study: str, series: str, members: Sequence[Instance]) -> list[Any]:
        """The objects of one series, which the PACS sends to a port of ours that is open meanwhile."""
        address = self._address
        with (
            receiving(address, _classes(members), _SYNTAXES, {one.sop for one in members}) as received,
            self._associated([(_MOVE, _SYNTAXES[:2])]) as link,
        ):
            for status, _ in link.send_c_move(_named(study, series, members), address.our_title, _MOVE):
                if status and int(status.Status) == _UNKNOWN_DESTINATION:
                    raise PacsError(
                        what="The PACS does not know to which computer it should send",
                        given=f"{address.place}, we call ourselves {address.our_title}",
                        remedy=f"Have our title entered there with this computer's name and port {address.move_port}, "
                        "or leave &move= out",
                    )
                self._require_status(status, "The PACS stopped sending")
        return received

    @property
    def _how(self) -> str:
        return "C-MOVE" if self._address.move_port else "C-GET"

    def store(self, files: Iterable[Outgoing], done: Callable[[Status], None]) -> None:
        pending = list(files)
        pairs = sorted({(one.sop_class, one.syntax) for one in pending})
        for start in range(0, len(pairs), _MOST_CONTEXTS):
            some = set(pairs[start : start + _MOST_CONTEXTS])
            mine = [one for one in pending if (one.sop_class, one.syntax) in some]
            with self._associated([(name, (syntax,)) for name, syntax in sorted(some)]) as link:
                for one in mine:
                    done(self._store(link, one))

    def _store(self, link: Any, one: Outgoing) -> Status:
        accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in link.accepted_contexts}
        if (one.sop_class, one.syntax) not in accepted:
            return Status(one.sop, one.path.name, FAILED, "the PACS does not take its class of objects")
        try:
            with warnings.catch_warnings(), self._as_it_lies():
                warnings.simplefilter("ignore")
                status = link.send_c_store(one.path)
        except RuntimeError as error:  # the association is gone
            raise self._broken() from error
        if not status:
            raise self._broken()
        code = int(status.Status)
        if code == 0 or code & 0xF000 == 0xB000:
            return Status(one.sop, one.path.name, SENT)
        return Status(one.sop, one.path.name, FAILED, reason_of(code))

    @contextlib.contextmanager
    def _as_it_lies(self) -> Iterator[None]:
        """Send the bytes of a file without decoding and encoding them."""
        settings: Any = self._net._config
        former = settings.STORE_SEND_CHUNKED_DATASET
        settings.STORE_SEND_CHUNKED_DATASET = True
        try:
            yield
        finally:
            settings.STORE_SEND_CHUNKED_DATASET = former

    def _require_status(self, status: Any, what: str) -> None:
        if not status:
            raise self._broken()
        code = int(status.Status)
        if code not in (0x0000, 0xFF00, 0xFF01, 0xB000):
            raise PacsRefusedError(what=what, given=f"{self._address.place}, {reason_of(code)}", remedy=_AGAIN)

    def _broken(self) -> PacsUnreachableError:
        return PacsUnreachableError(what="The connection to the PACS was cut", given=self._address.place, remedy=_AGAIN)

    @contextlib.contextmanager
    def _associated(
        self,
        contexts: Sequence[tuple[str, Sequence[str]]],
        handlers: Sequence[tuple[Any, Callable[[Any], Any]]] = (),
        receives: Sequence[str] = (),
    ) -> Iterator[Any]:
        """An association that is released at the end."""
        entity = self._net.AE(ae_title=self._address.our_title)
        entity.connection_timeout, entity.acse_timeout = _CONNECT_S, _ASSOCIATE_S
        entity.dimse_timeout = entity.network_timeout = _MESSAGE_S
        entity.maximum_pdu_size = 0
        built: dict[str, set[str]] = {}
        asked = []
        for name, syntaxes in contexts:
            if name not in built or not set(syntaxes) <= built[name]:
                built.setdefault(name, set()).update(syntaxes)
                asked.append(self._net.build_context(name, list(syntaxes)))
        roles: list[Any] = [self._net.build_role(name, scp_role=True) for name in receives]
        events: list[Any] = [*handlers, (self._net.evt.EVT_CONN_OPEN, _at_once)]
        tls = (ssl.create_default_context(), self._address.host) if self._address.kind == DIMSE_TLS else None
        try:
            link = entity.associate(
                self._address.host, self._address.port, contexts=asked, ae_title=self._address.title,
                ext_neg=roles, evt_handlers=events, tls_args=tls,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise PacsError(
                what="The PACS cannot be asked", given=f"{self._address.place} ({error})", remedy="Check its address"
            ) from error
        if not link.is_established:
            if link.is_rejected:
                raise PacsRefusedError(
                    what="The PACS refuses the association",
                    given=f"{self._address.place}, we call ourselves {self._address.our_title}",
                    remedy="Check the title of the PACS, and have ours entered there; another one is given by &aet=",
                )
            if link.is_aborted and not link.acceptor.primitive:
                raise PacsUnreachableError(
                    what="The PACS is unreachable", given=self._address.place, remedy="Check host and port"
                )
            raise PacsRefusedError(
                what="The PACS takes none of the classes of objects that it was offered",
                given=self._address.place,
                remedy="Ask who runs it to accept them",
            )
        _watch(link)
        try:
            yield link
        finally:
            if link.is_established:
                link.release()


def _watch(link: Any) -> None:
    """Note in `link.mewm_lost` each answer that a thread of pynetdicom takes from the one that waits for it.

    It asks whether that thread is at rest a moment before it is, and then an answer is logged and thrown away: a search
    would be one entry short, and nobody would be told (pynetdicom 3.0.4, on a busy computer).
    """
    link.mewm_lost = []
    serve = link._serve_request

    def noting(message: Any, context: int) -> None:
        if not message.is_valid_request:
            link.mewm_lost.append(message.msg_type)
        serve(message, context)

    link._serve_request = noting


def _at_once(event: Any) -> None:
    """Send what is written at once: else the end of each message waits for an answer, which waits 40 ms to be sent."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _classes(members: Sequence[Instance]) -> list[str]:
    return sorted({one.sop_class for one in members if one.sop_class})


def _named(study: str, series: str, members: Sequence[Instance]) -> Any:
    """What asks for these objects of a series, each by its UID."""
    query = package("pydicom").Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID, query.SeriesInstanceUID = "IMAGE", study, series
    query.SOPInstanceUID = [one.sop for one in members]
    return query
