"""Bundles from a list on a server of the test: resumed, verified before use, and everything that is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from MeWMLib.cli import main
from MeWMLib.core.bundle_list import Listed, fetch_bundle, read_list
from MeWMLib.core.bundles import find_bundle, import_bundle, user_bundles
from MeWMLib.core.errors import BundleError


class Server(ThreadingHTTPServer):
    """Files by path; `cut` ends an answer after so many bytes; `deaf` ignores Range."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str | None] = []
        self.cut, self.deaf, self.more = 0, False, b""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        content += self.server.more if self.path.endswith(".zip") else b""
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and not self.server.deaf else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut] if self.server.cut and self.path.endswith(".zip") else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def zipped(bundle: Path, more: dict[str, bytes] | None = None, name: str = "tuned") -> bytes:
    """A bundle's folder as an archive, renamed in its manifest."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(bundle.iterdir()):
            content = path.read_bytes()
            if path.name == "manifest.json":
                content = json.dumps({**json.loads(content), "name": name}).encode()
            archive.writestr(f"{name}/{path.name}", content)
        for member, content in (more or {}).items():
            archive.writestr(member, content)
    return buffer.getvalue()


def publish(server: Server, content: bytes, **other: object) -> str:
    entry = {
        "name": "tuned", "url": "tuned.zip", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "CC BY 4.0", **other,
    }  # fmt: skip
    server.files = {"/x/tuned.zip": content, "/x/list.json": _list(entry)}
    return f"{server.address}/x/list.json"


def _list(*entries: dict[str, object]) -> bytes:
    return json.dumps({"format": "mewm-bundle-list/1", "bundles": entries}).encode()


def nothing_is_there() -> bool:
    return not user_bundles().exists() or not [p for p in user_bundles().iterdir() if not p.name.startswith(".")]


def test_a_bundle_is_listed_fetched_and_used(
    server: Server, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = publish(server, zipped(small_bundle))
    assert main(["bundle", "fetch", "--list", address, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["url"] == f"{server.address}/x/tuned.zip" and listed["licence"] == "CC BY 4.0"
    assert main(["bundle", "fetch", "tuned", "--list", address, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = find_bundle("tuned")
    assert told["sha256"] == found.sha256 and found.path == user_bundles() / "tuned"
    assert [p.name for p in user_bundles().iterdir()] == ["tuned"]  # what was fetched is cleared away
    asked = len(server.asked)
    assert main(["bundle", "fetch", "tuned", "--list", address]) != 0
    assert "already there" in capsys.readouterr().err and len(server.asked) == asked + 1
    assert main(["bundle", "fetch", "other", "--list", address]) == 2
    assert main(["bundle", "fetch", "tuned"]) == 2
    assert "publishes none yet" in capsys.readouterr().err


@pytest.mark.parametrize("deaf", [False, True], ids=["ranges", "no ranges"])
def test_a_download_that_stopped_goes_on(server: Server, small_bundle: Path, deaf: bool) -> None:
    (one,) = read_list(publish(server, zipped(small_bundle, {"tuned/long.txt": b"long" * 50_000})))
    server.cut, server.deaf = 150_000, deaf
    with pytest.raises(BundleError, match="stopped before its end|cannot be fetched"):
        fetch_bundle(one)
    (part,) = [p for p in user_bundles().iterdir() if p.name.startswith(".fetch-tuned")]
    there = part.stat().st_size
    assert nothing_is_there() and 100_000 < there <= 150_000
    server.cut = 0
    seen: list[tuple[str, int, int]] = []
    assert fetch_bundle(one, lambda *told: seen.append(told)).name == "tuned"
    assert server.asked[-1] == f"bytes={there}-" and seen[-1][1:] == (one.bytes, one.bytes)
    assert not part.exists()


def test_what_is_not_the_listed_file_is_never_used(server: Server, small_bundle: Path) -> None:
    content = zipped(small_bundle)
    (one,) = read_list(publish(server, content))
    server.files["/x/tuned.zip"] = content[:-1] + b"?"
    with pytest.raises(BundleError, match="size or sha256 differs"):
        fetch_bundle(one)
    server.files["/x/tuned.zip"], server.more = content, b"more"
    with pytest.raises(BundleError, match="more than the list says"):
        fetch_bundle(one)
    server.more = b""
    (longer,) = read_list(publish(server, content, bytes=len(content) + 5))
    with pytest.raises(BundleError, match="stopped before its end"):
        fetch_bundle(longer)
    assert nothing_is_there()
    # a part of another bundle under this name is not gone on with, and a part that is too long begins anew
    (one,) = read_list(publish(server, content))
    part = user_bundles() / f".fetch-tuned-{one.sha256[:16]}.zip"
    part.write_bytes(content + b"more")
    assert fetch_bundle(one).name == "tuned"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tuned/weights.pt": b"x"}, "Python could run"),
        ({"tuned/innocent.txt": pickle.dumps({"a": 1}, 2)}, "Python could run"),
        ({"tuned/innocent.txt": pickle.dumps({"a": 1}, 5)}, "Python could run"),
        ({"../outside.txt": b"x"}, "outside of its folder"),
        ({"/outside.txt": b"x"}, "outside of its folder"),
    ],
)
def test_archives_that_are_not_safe_are_refused(
    server: Server, small_bundle: Path, more: dict[str, bytes], said: str
) -> None:
    (one,) = read_list(publish(server, zipped(small_bundle, more)))
    with pytest.raises(BundleError, match=said):
        fetch_bundle(one)
    assert nothing_is_there() and not list(user_bundles().parent.rglob("outside.txt"))


def test_another_bundle_inside_is_refused(server: Server, small_bundle: Path) -> None:
    (one,) = read_list(publish(server, zipped(small_bundle, name="mewm-small")))
    with pytest.raises(BundleError, match="another bundle than the list says"):
        fetch_bundle(one)
    (other,) = read_list(publish(server, b"no archive"))
    with pytest.raises(BundleError, match="cannot be read"):
        fetch_bundle(other)
    assert nothing_is_there()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "../evil"}, "not a plain name"),
        ({"name": "a/b"}, "not a plain name"),
        ({"sha256": "short"}, "no sha256"),
        ({"bytes": 0}, "0 bytes"),
        ({"bytes": 1 << 50}, "bytes"),
        ({"licence": " "}, "names no licence"),
        ({"url": "http://example.org/tuned.zip"}, "https only"),
        ({"url": "file:///etc/passwd"}, "https only"),
        ({"url": "ftp://example.org/tuned.zip"}, "https only"),
        ({"licence": 3}, "licence"),
    ],
)
def test_lists_that_are_not_valid_are_refused(server: Server, entry: dict[str, object], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        read_list(publish(server, b"x", **entry))


def test_lists_that_cannot_be_read_are_refused(server: Server, tmp_path: Path) -> None:
    entry = {"name": "a", "url": f"{server.address}/a.zip", "bytes": 1, "sha256": "0" * 64, "licence": "x"}
    for name, content, said in (
        ("twice.json", _list(entry, entry), "names a bundle twice"),
        ("other.json", b'{"format": "other/1", "bundles": []}', "another format"),
        ("broken.json", b"{", "list of bundles"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BundleError, match=said):
            read_list(str(tmp_path / name))
    with pytest.raises(BundleError, match="cannot be fetched"):
        read_list(f"{server.address}/nothing.json")
    with pytest.raises(BundleError, match="https only"):
        read_list("http://example.org/list.json")
    (tmp_path / "good.json").write_bytes(_list(entry))
    assert read_list(str(tmp_path / "good.json")) == [Listed(**entry)]  # type: ignore[arg-type]


def test_an_archive_with_harmless_files_is_taken_without_them(server: Server, small_bundle: Path) -> None:
    (one,) = read_list(publish(server, zipped(small_bundle, {"tuned/notes.txt": b"hello"})))
    found = fetch_bundle(one)
    assert not (found.path / "notes.txt").exists()
    with pytest.raises(BundleError, match="already there"):
        import_bundle(found.path)
