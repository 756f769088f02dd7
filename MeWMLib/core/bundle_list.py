"""Bundles from a list on the network: `mewm bundle fetch NAME --list FILE|ADDRESS`.

The list says of each bundle its address, size, licence and sha256. Nothing that was fetched is used before its size and
sha256 are those of the list; what came is kept when a download stops, and goes on from there.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from MeWMLib.core.bundle import PLAIN_NAME, Bundle
from MeWMLib.core.bundles import MAX_ARCHIVE_BYTES, import_bundle, user_bundles
from MeWMLib.core.errors import BundleError, output_error
from MeWMLib.core.records import from_plain, parse_json, read_json

FORMAT = "mewm-bundle-list/1"
#: A list is a few lines of text.
_MOST_LIST = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Seconds without an answer.
_WAIT_S = (10, 60)
#: Bytes that are read at a time; of a piece that is cut nothing is kept.
_CHUNK = 1 << 16
#: Endings of what Python would run on reading.
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".bin")
_REMEDY = "Give the address or file of a list with --list (docs/YOUR_COHORT.md); MeWM publishes none yet"


@dataclass(frozen=True)
class Listed:
    """One bundle of a list.

    Attributes:
        name: of the bundle, a plain one.
        url: of a .zip; relative to the list where it has no host.
        bytes: its size.
        sha256: its checksum.
        licence: of the weights; shown before anything is fetched.
        description: what it is.

    Raises:
        BundleError: a name that is not plain, a size or checksum that is none.
    """

    name: str
    url: str
    bytes: int
    sha256: str
    licence: str
    description: str = ""

    def __post_init__(self) -> None:
        wrong = ""
        if not PLAIN_NAME.fullmatch(self.name):
            wrong = f"the name {self.name[:80]!r} is not a plain name"
        elif not _SHA256.fullmatch(self.sha256):
            wrong = f"{self.name} has no sha256"
        elif not 0 < self.bytes <= MAX_ARCHIVE_BYTES:
            wrong = f"the size of {self.name} is {self.bytes} bytes"
        elif not self.licence.strip():
            wrong = f"{self.name} names no licence"
        if wrong:
            raise BundleError(what=f"The list of bundles is not valid: {wrong}")


@dataclass(frozen=True)
class _List:
    format: str
    bundles: tuple[Listed, ...]


def read_list(source: str) -> list[Listed]:
    """Read a list of bundles; addresses in it become whole.

    Args:
        source: a file, or an address (https; http from this computer only).

    Raises:
        BundleError: it cannot be read or fetched, is of another format, or is not valid (`Listed`).
    """
    if "://" in source:
        _require_safe(source)
        answer = _get(source, {})
        with answer:
            content = b"".join(_limited(answer, _MOST_LIST, source))
        data = parse_json(content, "The list of bundles", BundleError, _REMEDY, {"format": str}, given=source)
    else:
        data = read_json(source, "The list of bundles", BundleError, _REMEDY, {"format": str})
    if data["format"] != FORMAT:
        raise BundleError(what="The list of bundles is of another format", given=data["format"], remedy=f"Use {FORMAT}")
    found = from_plain(_List, data, "The list of bundles", BundleError, _REMEDY, strict=False)
    names = [one.name for one in found.bundles]
    if len(set(names)) < len(names):
        raise BundleError(what="The list of bundles names a bundle twice", given=", ".join(names), remedy=_REMEDY)
    base = source if "://" in source else ""
    return [_whole(one, base) for one in found.bundles]


def _whole(one: Listed, base: str) -> Listed:
    url = urljoin(base, one.url)
    _require_safe(url)
    return Listed(one.name, url, one.bytes, one.sha256, one.licence, one.description)


def fetch_bundle(one: Listed, on_step: Callable[[str, int, int], None] | None = None) -> Bundle:
    """Download a bundle, verify it, and put it into the user's data folder.

    Args:
        one: of `read_list`.
        on_step: called with the stage, the bytes that are there and those there will be.

    Raises:
        BundleError: no answer, another size or sha256 than the list has, an archive that holds pickles or is not safe,
            another name inside, or a bundle of that name is there already (`import_bundle`).
        OutputError: the user's data folder cannot be written.
    """
    home = user_bundles()
    if (home / one.name).exists():
        raise BundleError(
            what=f"A bundle called {one.name} is already there",
            given=str(home / one.name),
            remedy=f"Delete it first with `mewm bundle delete {one.name}`",
        )
    # by its checksum: another bundle of this name begins anew
    part = home / f".fetch-{one.name}-{one.sha256[:16]}.zip"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _download(one, part, on_step or (lambda stage, done, whole: None))
    except OSError as error:
        raise output_error(error, part) from error
    _verify(one, part)
    found = import_bundle(part)
    part.unlink(missing_ok=True)
    return found


def _download(one: Listed, part: Path, step: Callable[[str, int, int], None]) -> None:
    there = part.stat().st_size if part.exists() else 0
    if there > one.bytes:
        part.unlink()
        there = 0
    if there == one.bytes:
        return
    answer = _get(one.url, {"Range": f"bytes={there}-"} if there else {})
    with answer:
        goes_on = answer.status_code == 206 and _starts_at(answer) == there
        if there and answer.status_code == 206 and not goes_on:
            raise BundleError(
                what="The server sends another part of the bundle than was asked for",
                given=answer.headers.get("Content-Range", ""),
                remedy=f"Delete {part} and fetch it again",
            )
        there = there if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in _limited(answer, one.bytes - there, one.url):
                file.write(chunk)
                there += len(chunk)
                step(f"fetching {one.name}", there, one.bytes)
    if there < one.bytes:
        raise BundleError(
            what="The download of the bundle stopped before its end",
            given=f"{there} of {one.bytes} bytes",
            remedy="Run the same command again: it goes on from there",
        )


def _starts_at(answer: requests.Response) -> int:
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1


def _limited(answer: requests.Response, most: int, url: str) -> Iterator[bytes]:
    """The content in pieces, and an error as soon as it is longer than it may be."""
    count = 0
    try:
        for chunk in answer.iter_content(_CHUNK):
            count += len(chunk)
            if count > most:
                raise BundleError(
                    what="The server sends more than the list says",
                    given=f"over {most} bytes from {url}",
                    remedy="Do not use this file; ask who publishes the list",
                )
            yield chunk
    except requests.RequestException as error:
        raise _no_answer(url, error) from error


def _verify(one: Listed, part: Path) -> None:
    """Refuse a file that is not the one of the list, and an archive that holds what could be run; it is deleted."""
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    try:
        if part.stat().st_size != one.bytes or digest.hexdigest() != one.sha256:
            raise BundleError(
                what="What was fetched is not the bundle of the list: its size or sha256 differs",
                given=f"{part.stat().st_size} bytes, {digest.hexdigest()[:12]}...; the list says {one.bytes} bytes, "
                f"{one.sha256[:12]}...",
                remedy="Fetch it again; if it stays so, ask who publishes the list",
            )
        _require_harmless(one, part)
    except BundleError:
        part.unlink(missing_ok=True)
        raise


def _require_harmless(one: Listed, part: Path) -> None:
    try:
        with zipfile.ZipFile(part) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    begins = file.read(2)
                # a pickle of protocol 2 or later begins so, whatever it is called
                if member.filename.lower().endswith(_PICKLES) or (begins[:1] == b"\x80" and begins[1:] in _PROTOCOLS):
                    raise BundleError(
                        what="The archive holds a file that Python could run on reading",
                        given=f"{member.filename[:120]} in {one.name}",
                        remedy="A bundle of MeWM holds safetensors and text only; do not use this archive",
                    )
            named = [m for m in archive.namelist() if m.rsplit("/", 1)[-1] == "manifest.json"]
            for place in named[:1]:
                data = parse_json(archive.read(place), "The manifest of the bundle", BundleError, require={"name": str})
                if data["name"] != one.name:
                    raise BundleError(
                        what="The archive holds another bundle than the list says",
                        given=f"{str(data['name'])[:80]}, listed as {one.name}",
                        remedy="Ask who publishes the list",
                    )
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            what="The archive cannot be read", given=f"{one.url} ({error})", remedy="Ask who publishes the list"
        ) from error


_PROTOCOLS = tuple(bytes([n]) for n in range(2, 6))


def _get(url: str, headers: dict[str, str]) -> requests.Response:
    try:
        # as it is: a server that packs it again would change what is hashed
        answer = requests.get(url, headers={"Accept-Encoding": "identity", **headers}, stream=True, timeout=_WAIT_S)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _no_answer(url, error) from error
    _require_safe(answer.url)  # a server may send us on
    return answer


def _no_answer(url: str, error: Exception) -> BundleError:
    return BundleError(
        what="The bundle cannot be fetched",
        given=f"{url} ({type(error).__name__}: {str(error)[:200]})",
        remedy="Check the address and the network; what came is kept, and the same command goes on from there",
    )


def _require_safe(url: str) -> None:
    """Refuse an address that is not https, but for this computer itself.

    Raises:
        BundleError: another scheme, or http from elsewhere.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    here = host == "localhost"
    if not here and host:
        try:
            here = ipaddress.ip_address(host).is_loopback
        except ValueError:
            here = False
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise BundleError(
            what="Bundles are fetched by https only",
            given=url[:200],
            remedy="Use an https address (http is for this computer itself)",
        )
