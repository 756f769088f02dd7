"""What the two kinds of PACS clients have in common: what they are asked, and the credentials they use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from MeWMLib.core.errors import PacsRefusedError
from MeWMLib.core.keyring_entries import from_keyring

TOKEN, USER, PASSWORD = "MEWM_PACS_TOKEN", "MEWM_PACS_USER", "MEWM_PACS_PASSWORD"
#: Name of the entries in the system's keyring: the user name of an entry is the address without its study, its secret
#: is a token, or "user:password".
KEYRING_SERVICE = "mewm-pacs"
#: Of an object that goes out or comes in.
SENT, THERE, FAILED = "sent", "already there", "failed"


@dataclass(frozen=True)
class Instance:
    """An object that a PACS holds."""

    series: str
    sop: str
    sop_class: str
    modality: str


@dataclass(frozen=True)
class Outgoing:
    """A file that is sent: its path and what its header says."""

    path: Path
    study: str
    series: str
    sop: str
    sop_class: str
    syntax: str
    bytes: int


@dataclass(frozen=True)
class Status:
    """What became of one object: `SENT`, `THERE` or `FAILED`, and why."""

    sop: str
    file: str
    state: str
    reason: str = ""


class Pacs(Protocol):
    """A client of one PACS."""

    def instances(self, study: str, series: str = "") -> list[Instance]:
        """What the PACS holds of a study or series; empty if it holds none.

        Raises:
            PacsError: it does not answer, or refuses.
        """

    def fetch(self, study: str, wanted: Sequence[Instance]) -> Iterator[Any]:
        """Give the objects as datasets with their file meta information, in any order.

        Raises:
            PacsError: it does not answer, refuses, or stops before the end.
        """

    def store(self, files: Iterable[Outgoing], done: Callable[[Status], None]) -> None:
        """Send files; `done` is called with the status of each.

        Raises:
            PacsError: the connection is lost; the files before that have their status.
        """


@dataclass(frozen=True)
class Credentials:
    """A token, or a user and a password; all "" where the PACS asks for none."""

    token: str = ""
    user: str = ""
    password: str = ""


def credentials_of(place: str) -> Credentials:
    """Credentials for a PACS: from the environment, else from the system's keyring, else none.

    Raises:
        PacsRefusedError: a user without a password, or a token that no request can carry.
    """
    token, user, password = (os.environ.get(name, "") for name in (TOKEN, USER, PASSWORD))
    if not token and not user:
        stored = from_keyring(KEYRING_SERVICE, place)
        user, colon, password = stored.partition(":")
        if not colon:
            token, user = stored, ""
    if user and not password:
        raise PacsRefusedError(
            what="There is a user for the PACS and no password", given=USER, remedy=f"Set {PASSWORD} too"
        )
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise PacsRefusedError(
            what="This is not a token", given=f"{len(token)} characters", remedy=f"Set {TOKEN} to one word of ASCII"
        )
    return Credentials(token, user, password)
