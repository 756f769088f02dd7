"""Where the token of a server is looked for, and what is no token."""

from __future__ import annotations

import os
import sys
from types import ModuleType

import pytest

from MeWMLib.core.errors import OutputError, ServerTokenError
from MeWMLib.jobs import server_token

GOOD = "0123456789abcdefXYZ"
URL = "http://gpu-box:8642"


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.delenv(server_token.VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def keyring(monkeypatch):
    """A keyring with entries by service and user."""
    entries: dict[tuple[str, str], str] = {}
    module = ModuleType("keyring")
    module.get_password = lambda service, user: entries.get((service, user))
    monkeypatch.setitem(sys.modules, "keyring", module)
    return entries


def test_the_file_comes_first_then_the_environment_then_the_keyring(tmp_path, monkeypatch, keyring):
    (tmp_path / "t").write_text(f"  {GOOD}1\n")
    (tmp_path / "t").chmod(0o600)
    keyring["mewm-server", URL] = GOOD + "3"
    assert server_token.find(URL) == GOOD + "3"
    with pytest.raises(ServerTokenError):
        server_token.find("http://other:1")
    monkeypatch.setenv(server_token.VARIABLE, GOOD + "2")
    assert server_token.find(URL) == GOOD + "2"
    assert server_token.find(URL, tmp_path / "t") == GOOD + "1"


def test_a_keyring_that_does_not_work_is_none(keyring):
    def refuse(service, user):
        raise RuntimeError("locked")

    sys.modules["keyring"].get_password = refuse
    with pytest.raises(ServerTokenError, match="There is no token"):
        server_token.find(URL)


@pytest.mark.parametrize(
    "text", ["", "short", "two words of sixteen", "x" * 600, "\u00e4" * 20, "line one\nline two of it"]
)
def test_what_is_no_token_is_refused_without_being_shown(tmp_path, text):
    (tmp_path / "t").write_text(text, encoding="utf-8")
    (tmp_path / "t").chmod(0o600)
    with pytest.raises(ServerTokenError) as caught:
        server_token.find(URL, tmp_path / "t")
    assert not text or text not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "t").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "t").chmod(0o600)
    for path in (tmp_path / "absent", tmp_path, tmp_path / "t"):
        with pytest.raises(ServerTokenError, match="cannot be read"):
            server_token.read_file(path)


def test_a_made_token_is_whole_and_never_replaces_another(tmp_path):
    token = server_token.make(tmp_path / "deep" / "token")
    assert server_token.read_file(tmp_path / "deep" / "token") == token
    assert token != server_token.make(tmp_path / "other")
    with pytest.raises(OutputError):
        server_token.make(tmp_path / "other")


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o620])
def test_a_file_that_others_can_reach_is_refused(tmp_path, mode):
    (tmp_path / "t").write_text(GOOD)
    (tmp_path / "t").chmod(mode)
    with pytest.raises(ServerTokenError, match="other users.*chmod 600") as caught:
        server_token.find(URL, tmp_path / "t")
    assert GOOD not in str(caught.value)
