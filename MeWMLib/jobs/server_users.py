"""Who may use a server: named tokens, hashed at rest, with an end and scopes; and the back-off after wrong ones.

The tokens are 256 random bits, so their SHA-256 is as good as a slow hash: nobody can try them all.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from MeWMLib.core.errors import InputError, ServerTokenError, output_error
from MeWMLib.core.locks import FileLock
from MeWMLib.core.private_files import others_can_read, private
from MeWMLib.core.records import from_plain, read_json

FILE = "tokens.json"
#: What a token may be used for: to send jobs and to have one's own, or to read the measures of the server.
JOBS, METRICS = "jobs", "metrics"
SCOPES = (JOBS, METRICS)
#: The user of the one token that `mewm serve` was given.
OPERATOR = "operator"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Wrong tokens from one address before it has to wait, its first wait and its longest (seconds).
_FREE, _FIRST_S, _LONGEST_S = 5, 2.0, 300.0
#: So long after the last one an address begins anew (seconds).
_FORGOTTEN_S = 1800.0
_MOST_ADDRESSES = 10_000


@dataclass(frozen=True)
class User:
    """A named token.

    Attributes:
        name: of the user; jobs belong to it.
        sha256: of the token.
        created, expires: seconds since 1970; 0 never expires.
        scopes: some of `SCOPES`.
    """

    name: str
    sha256: str
    created: float = 0.0
    expires: float = 0.0
    scopes: tuple[str, ...] = (JOBS,)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                what="This is not a name for a token",
                given=repr(self.name)[:80],
                remedy="Use letters, digits, points and lines, at most 64",
            )
        if not self.scopes or set(self.scopes) - set(SCOPES):
            raise InputError(
                what="Unknown scope of a token", given=", ".join(self.scopes), remedy="Use " + ", ".join(SCOPES)
            )


class Tokens:
    """The tokens of a server, in a file that every process may change: a change counts at once.

    Args:
        data: folder of the server.
        given: one further token, that of `OPERATOR`, which is in no file of ours.
    """

    def __init__(self, data: Path, given: str = "") -> None:
        self._file = data / FILE
        self._given = User(OPERATOR, _hash(given), scopes=SCOPES) if given else None
        self._lock = threading.Lock()
        self._read_at: tuple[int, int, int] | None = None
        self._users: tuple[User, ...] = ()

    def all(self) -> tuple[User, ...]:
        """The tokens of the file.

        Raises:
            InputError: it is damaged.
        """
        with self._lock:
            try:
                stat = self._file.stat()
            except FileNotFoundError:
                self._read_at, self._users = None, ()
                return ()
            # the number of the file changes with every change: each replaces it
            if (stat.st_mtime_ns, stat.st_ino, stat.st_mode) != self._read_at:
                if others_can_read(self._file):
                    raise InputError(
                        what="The file of the tokens can be read or written by other users of this computer",
                        given=str(self._file),
                        remedy=f"Take their permission away: chmod 600 {FILE}; look through `mewm token list`",
                    )
                read = read_json(self._file, "The file of the tokens", InputError, require={"tokens": list})["tokens"]
                self._users = tuple(from_plain(User, one, "a token") for one in read)
                self._read_at = (stat.st_mtime_ns, stat.st_ino, stat.st_mode)
            return self._users

    def create(self, name: str, days: float = 0.0, scopes: tuple[str, ...] = (JOBS,)) -> str:
        """Make a token and return it: it is kept as a hash and can never be shown again.

        Raises:
            InputError: the name is taken or is none, an unknown scope, a number of days below 0 or that is none.
            OutputError: the file cannot be written.
        """
        if not 0.0 <= days < math.inf:
            raise InputError(what="A token cannot expire before it was made, nor at no time", given=f"{days:g} days")
        token, now = secrets.token_urlsafe(32), time.time()
        user = User(name, _hash(token), now, now + days * 86400.0 if days else 0.0, scopes)
        with self._changing():
            if name == OPERATOR or any(one.name == name for one in self.all()):
                raise InputError(
                    what="There is a token of this name", given=name, remedy="Revoke it first, or choose another name"
                )
            self._write((*self.all(), user))
        return token

    def revoke(self, name: str) -> None:
        """Remove a token; a server that runs refuses it from now on.

        Raises:
            InputError: there is none of this name.
        """
        with self._changing():
            left = tuple(one for one in self.all() if one.name != name)
            if len(left) == len(self.all()):
                raise InputError(what="There is no token of this name", given=name, remedy="See `mewm token list`")
            self._write(left)

    def user(self, token: str) -> User | None:
        """Whose token this is; None for a wrong one and for one that has expired."""
        digest, found = _hash(token), None
        for one in (*self.all(), *([self._given] if self._given else [])):
            # all of them are compared, in a time that does not tell how much of one was right
            if hmac.compare_digest(one.sha256, digest):
                found = one
        if found is not None and found.expires and time.time() > found.expires:
            return None
        return found

    def _changing(self) -> _Changing:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise output_error(error, self._file) from error
        return _Changing(self._file)

    def _write(self, users: tuple[User, ...]) -> None:
        temporary = self._file.with_name(f"{FILE}.new")
        try:
            with private(temporary, "w") as stream:
                stream.write(json.dumps({"tokens": [asdict(one) for one in users]}, indent=1))
            temporary.replace(self._file)
        except OSError as error:
            raise output_error(error, self._file) from error


class _Changing:
    """One process at a time changes the file."""

    def __init__(self, file: Path) -> None:
        self._lock = FileLock(file.with_name(f"{FILE}.lock"))

    def __enter__(self) -> None:
        until = time.monotonic() + 10.0
        while not self._lock.acquire():
            if time.monotonic() > until:
                raise InputError(what="The file of the tokens is in use", given=str(self._lock.path))
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@dataclass(frozen=True)
class _Wrong:
    times: int = 0
    until: float = 0.0
    at: float = 0.0


class BackOff:
    """Makes an address wait after wrong tokens, longer each time; a user who was known there before never waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, address: str, user: str = "") -> float:
        """Seconds that an address has to wait; 0 for none."""
        with self._lock:
            if user and (address, user) in self._known:
                return 0.0
            found = self._wrong.get(address, _Wrong())
            return max(0.0, found.until - self._clock())

    def wrong(self, address: str) -> None:
        """A wrong token came from there."""
        with self._lock:
            found, now = self._wrong.pop(address, _Wrong()), self._clock()
            times = 1 if now - found.at > _FORGOTTEN_S else found.times + 1
            wait = min(_LONGEST_S, _FIRST_S * 2.0 ** (times - _FREE)) if times >= _FREE else 0.0
            self._wrong[address] = _Wrong(times, now + wait, now)
            while len(self._wrong) > _MOST_ADDRESSES:
                self._wrong.popitem(last=False)

    def right(self, address: str, user: str) -> None:
        """A right token came from there."""
        with self._lock:
            self._known[(address, user)] = None
            self._known.move_to_end((address, user))
            while len(self._known) > _MOST_ADDRESSES:
                self._known.popitem(last=False)


def refusal(given: bool) -> ServerTokenError:
    """A token that is missing, wrong, expired or revoked."""
    return ServerTokenError(
        what="The server does not know this token" if given else "The server asks for a token",
        remedy="Ask who runs the server for a token (`mewm token create NAME`)",
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
