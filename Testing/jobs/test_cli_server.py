"""`mewm ... --server`: consent, token, the same result, exit codes."""

from __future__ import annotations

import io as text_io
import json
import sys

import pytest

from MeWMLib import cli
from MeWMLib.cli.arguments import parse
from MeWMLib.core import io

PLAN = ("plan", "--no-report", "--no-scene", "--out")


@pytest.fixture
def mewm(capsys, monkeypatch):
    """Run a command: (exit code, standard output, standard error). A worker on this computer would fail."""
    monkeypatch.delenv("MEWM_SERVER_TOKEN", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main([str(a) for a in arguments], worker=["no-worker-here"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def case(tmp_path, fake):
    """The small patient as files of a user."""
    io.write_volume(fake.small_ct(), tmp_path / "case" / "ct.nrrd")
    io.write_labels(fake.small_labels(), tmp_path / "case" / "labels.seg.nrrd")
    return tmp_path / "case" / "ct.nrrd", "--labels", tmp_path / "case" / "labels.seg.nrrd"


@pytest.fixture
def token(tmp_path):
    """A file with the token of the server."""
    file = tmp_path / "token.txt"
    file.write_text("a-token-of-the-tests-0123456789\n")
    file.chmod(0o600)
    return file


def test_a_plan_on_a_server(mewm, serve, case, token, tmp_path):
    server = serve()
    given = ("--server", server.url, "--token-file", token, "--yes-send-images")
    code, out, err = mewm(*PLAN, tmp_path / "out", *case, *given)
    assert code == 0 and "Protocols by predicted risk" in out
    assert f"Sent to {server.url}: ct.nrrd, labels.nrrd" in err and "Fetch" in err
    assert "a-token-of" not in out + err
    assert (tmp_path / "out" / "simulated_01.nrrd").is_file()
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["candidates"]


def test_the_token_may_come_from_the_environment(mewm, serve, case, monkeypatch):
    server = serve()
    monkeypatch.setenv("MEWM_SERVER_TOKEN", server.token)
    code, out, _ = mewm("propose", *case, "--json", "--server", server.url, "--yes-send-images")
    assert code == 0 and json.loads(out)["policy"] == "fake"


def test_nothing_is_sent_without_consent(mewm, serve, tap, case, token, tmp_path):
    line = tap(serve().url)
    code, _, err = mewm(*PLAN, tmp_path / "out", *case, "--server", line.url, "--token-file", token)
    assert code == 2 and "--yes-send-images" in err and not line.sent


class _Terminal(text_io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_on_a_terminal_it_is_asked(mewm, serve, case, token, monkeypatch, capsys, answer, code):
    server = serve()
    monkeypatch.setattr(sys, "stdin", _Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    found, _, err = mewm("propose", *case, "--json", "--server", server.url, "--token-file", token)
    assert found == code and "Send them? [y/N]" in err and server.url in err
    assert "NOT encrypted" not in err, "this computer itself"


def test_an_open_line_is_said_before_the_question(mewm, case, monkeypatch):
    monkeypatch.setattr(sys, "stdin", _Terminal("n\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, err = mewm("propose", *case, "--server", "http://gpu-box")
    assert code == 2 and "NOT encrypted" in err


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("--server", "ftp://x"), "not the address"),
        (("--server", "http://127.0.0.1:9", "--yes-send-images"), "There is no token"),
        (("--server", "http://127.0.0.1:9", "--yes-send-images", "--token-file", "absent"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_a_sentence(mewm, case, given, text):
    code, _, err = mewm("propose", *case, *given)
    assert code == 2 and text in err


def test_a_wrong_token_is_exit_2(mewm, serve, case, tmp_path):
    (tmp_path / "wrong").write_text("z" * 30)
    (tmp_path / "wrong").chmod(0o600)
    given = ("--server", serve().url, "--yes-send-images", "--token-file", tmp_path / "wrong")
    code, _, err = mewm("propose", *case, *given)
    assert code == 2 and "does not know this token" in err and "zzz" not in err


def test_the_example_of_serve_is_understood(capsys):
    with pytest.raises(SystemExit) as end:
        parse(["serve", "--help"])
    assert end.value.code == 0
    example = capsys.readouterr().out.rpartition("example: ")[2].split()
    given = parse(example[1:])
    assert (given.host, given.port, given.max_jobs) == ("127.0.0.1", 8642, 1)
