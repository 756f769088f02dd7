"""The token of a server: where it is looked for, how one is made. It is never written into a scene, log or report."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from MeWMLib.core.errors import ServerTokenError, output_error
from MeWMLib.core.keyring_entries import from_keyring
from MeWMLib.core.private_files import others_can_read

VARIABLE = "MEWM_SERVER_TOKEN"
#: Name of the entries in the system's keyring; the user name of an entry is the address.
KEYRING_SERVICE = "mewm-server"
#: A shorter token could be guessed.
MIN_CHARACTERS = 16
_MOST = 512


def check(token: str, source: str) -> str:
    """Return a token without white space around it.

    Raises:
        ServerTokenError: too short, too long, or of characters that no request can carry.
    """
    token = token.strip()
    if not MIN_CHARACTERS <= len(token) <= _MOST or not token.isascii() or not token.isprintable() or " " in token:
        raise ServerTokenError(
            what="This is not the token of a server",
            given=f"{source}, {len(token)} characters",
            remedy=f"A token is one line of {MIN_CHARACTERS} to {_MOST} ASCII characters without a space",
        )
    return token


def read_file(path: Path) -> str:
    """Read a token from a file.

    Raises:
        ServerTokenError: the file cannot be read or does not hold a token.
    """
    try:
        if others_can_read(path):
            raise ServerTokenError(
                what="The file of the token can be read by other users of this computer",
                given=str(path),
                remedy=f"Take their permission away: chmod 600 {path.name}; get another if somebody may have read it",
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ServerTokenError(
            what=f"The file of the token cannot be read ({reason})", given=str(path), remedy="Choose the right file"
        ) from error
    return check(text, f"the file {path.name}")


def find(address: str, file: str | Path | None = None) -> str:
    """The token for a server: from the file if one is given, else the environment, else the system's keyring.

    Raises:
        ServerTokenError: there is none, or what was found is not a token.
    """
    if file:
        return read_file(Path(file).expanduser())
    given = os.environ.get(VARIABLE)
    if given:
        return check(given, f"the environment variable {VARIABLE}")
    stored = from_keyring(KEYRING_SERVICE, address)
    if stored:
        return check(stored, "the system's keyring")
    raise ServerTokenError(
        what="There is no token for the server",
        given=address,
        remedy=f"Name the file that holds it (--token-file), or set {VARIABLE}; `mewm serve` showed it once",
    )


def make(path: Path) -> str:
    """Make a token and keep it in a file that only its owner reads.

    Raises:
        OutputError: the file cannot be written.
    """
    token = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(token + "\n")
    except OSError as error:
        raise output_error(error, path) from error
    return token
