"""Where a PACS is and what of it is meant: `dicomweb:URL?study=UID&series=UID` or `dimse:TITLE@HOST:PORT?study=UID`.

Studies and series are named by their UIDs alone. A search by a name, by two words or by a wildcard finds nothing on
some servers, which do not decode the percent signs of an address, and would send the name of a patient over the line.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from MeWMLib.core.errors import InputError

DICOMWEB, DIMSE, DIMSE_TLS = "dicomweb", "dimse", "dimse+tls"
SCHEMES = (DICOMWEB, DIMSE, DIMSE_TLS)
#: How we call ourselves where an address does not say it.
OUR_TITLE = "MEWM"
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
#: What an address may say after its question mark.
_ASKED = {"study", "series", "aet", "move"}
_EXAMPLE = "dicomweb:https://pacs.example.org/dicom-web?study=1.2.3 or dimse:TITLE@pacs.example.org:104?study=1.2.3"


def is_address(text: str) -> bool:
    """True for a text that is meant as the address of a PACS."""
    return text.split(":", 1)[0].lower() in SCHEMES and ":" in text


@dataclass(frozen=True)
class PacsAddress:
    """An address.

    Attributes:
        kind: `DICOMWEB`, `DIMSE` or `DIMSE_TLS`.
        place: the base address without study and credentials: "https://host/path" or "TITLE@host:port".
        study, series: UIDs, "" where none is named.
        title, host, port: of a DIMSE service; "" and 0 for DICOMweb.
        our_title: how we call ourselves to a DIMSE service.
        move_port: port of ours to which it sends what we ask for by C-MOVE; 0 asks by C-GET, over our own connection.
    """

    kind: str
    place: str
    study: str = ""
    series: str = ""
    title: str = ""
    host: str = ""
    port: int = 0
    our_title: str = OUR_TITLE
    move_port: int = 0

    @property
    def is_open(self) -> bool:
        """True if others on the network can read what is sent."""
        return not (self.kind == DIMSE_TLS or self.place.startswith("https://")) and not self.is_here

    @property
    def is_here(self) -> bool:
        """True if the PACS runs on this computer."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def parse(cls, text: str, need_study: bool = True) -> PacsAddress:
        """Read what a user typed.

        Raises:
            InputError: not an address, or one that holds a password, a name, or something else than UIDs.
        """
        kind, _, rest = text.strip().partition(":")
        kind = kind.lower()
        if kind not in SCHEMES or not rest:
            raise InputError(what="This is not the address of a PACS", given=text[:120], remedy=f"Write {_EXAMPLE}")
        base, _, query = rest.partition("?")
        asked = _asked(query)
        if need_study and not asked.get("study"):
            raise InputError(
                what="The address names no study", given=text[:120], remedy="Add ?study= and the StudyInstanceUID"
            )
        found = _web(base) if kind == DICOMWEB else _dimse(kind, base)
        title = asked.pop("aet", OUR_TITLE)
        if not _TITLE.fullmatch(title):
            raise InputError(what="This is not a title of an application entity", given=title[:40])
        port = _move_port(kind, asked.pop("move", None))
        study, series = asked.get("study", ""), asked.get("series", "")
        return cls(kind, study=study, series=series, our_title=title, move_port=port, **found)


def _asked(query: str) -> dict[str, str]:
    """Study and series of the query."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        pairs = [("", "")]
    asked = dict(pairs)
    if set(asked) - _ASKED or len(asked) != len(pairs):
        raise InputError(
            what="The address asks for something else than a study and a series",
            given=", ".join(sorted(set(asked) - _ASKED))[:80] or "something twice",
            remedy="Write ?study=UID or ?study=UID&series=UID; find the UIDs in the PACS",
        )
    for name in ("study", "series"):
        uid = asked.get(name)
        if uid is not None and (not _UID.fullmatch(uid) or len(uid) > 64):
            raise InputError(
                what=f"The {name} is not a UID", given=uid[:80], remedy="A UID has digits and full stops alone"
            )
    if asked.get("series") and not asked.get("study"):
        raise InputError(what="A series is named without its study", remedy="Add study= and the StudyInstanceUID")
    return asked


def _move_port(kind: str, text: str | None) -> int:
    """Our port of &move=, 0 without it."""
    if text is None:
        return 0
    if kind != DIMSE:
        raise InputError(
            what="Only an address that begins with dimse: can ask for a C-MOVE",
            given=f"{kind} with &move={text[:20]}",
            remedy="Leave &move= out: what the PACS would send to our port is not encrypted",
        )
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise InputError(
            what="This is not a port", given=f"&move={text[:20]}", remedy="Write the port that the PACS knows us by"
        )
    return int(text)


def _web(base: str) -> dict[str, str]:
    wrong = InputError(
        what="This is not the address of a DICOMweb service", given=base[:120], remedy=f"Write {_EXAMPLE}"
    )
    try:
        parts = urlsplit(base)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("http", "https") or not host or re.search(r"\s", base) or parts.fragment:
        raise wrong
    if parts.username is not None:
        raise InputError(
            what="An address must not contain a password",
            given=f"an address of {host}",
            remedy="Set MEWM_PACS_USER and MEWM_PACS_PASSWORD, or MEWM_PACS_TOKEN, or use the system's keyring",
        )
    return {"place": base.rstrip("/"), "host": host}


def _dimse(kind: str, base: str) -> dict[str, str | int]:  # type: ignore[type-arg, unused-ignore]
    match = re.fullmatch(r"/{0,2}(?P<title>[^@/]+)@(?P<host>\[[0-9a-fA-F:]+\]|[^:@/\s]+):(?P<port>\d{1,5})/?", base)
    if match is None or not _TITLE.fullmatch(match["title"]) or not 0 < int(match["port"]) < 65536:
        raise InputError(
            what="This is not the address of a DIMSE service",
            given=f"{kind}:{base}"[:120],
            remedy=f"Write {_EXAMPLE}",
        )
    host = match["host"].strip("[]")
    return {
        "place": f"{match['title']}@{match['host']}:{match['port']}",
        "title": match["title"],
        "host": host,
        "port": int(match["port"]),
    }
