"""The folder of an app: for its owner alone, gone with the app, and what a killed one left is removed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import psutil
import pytest

from MeWMLib.app.folder import MARK, app_folder, sweep
from MeWMLib.app.guard import refused
from MeWMLib.core.errors import OutputError
from MeWMLib.core.folders import data_folder


def test_a_folder_goes_with_its_app_and_two_apps_have_two():
    with app_folder() as one, app_folder() as other:
        assert one != other and one.parent == other.parent == data_folder() / "app"
        (one / "patient.txt").write_text("x")
        if os.name == "posix":
            assert stat.S_IMODE(one.stat().st_mode) == 0o700
    assert not one.exists() and not other.exists()


def test_what_a_killed_app_left_is_removed_and_nothing_else():
    root = data_folder() / "app"
    with app_folder() as living:
        dead, strange, link = root / ("d" * 16), root / ("e" * 16), root / ("f" * 16)
        for folder in (dead, strange):
            folder.mkdir()
            (folder / "ct.nrrd").write_text("x")
        (dead / MARK).touch()
        link.symlink_to(living)
        (root / "notes").mkdir()
        sweep(root)
        assert not dead.exists() and strange.exists() and living.exists() and (root / "notes").exists()


def test_a_folder_that_is_kept_stays_and_is_used_once(tmp_path):
    with app_folder(tmp_path / "kept") as folder:
        (folder / "x").touch()
        with pytest.raises(OutputError, match="Another `mewm app`"), app_folder(tmp_path / "kept"):
            pass
    assert (tmp_path / "kept" / "x").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), app_folder(tmp_path / "file"):
        pass


def test_hosts_are_compared_as_a_whole():
    assert refused({"host": "127.0.0.1:80"}, 80) == ""
    for host in ("127.0.0.1.evil.example:80", "evil.example#127.0.0.1:80", "127.0.0.1:8080", "127.0.0.2:80", ""):
        assert refused({"host": host}, 80)


def test_only_the_page_itself_may_be_come_to_from_elsewhere():
    coming = {"host": "127.0.0.1:80", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert refused({**coming, "sec-fetch-dest": "document"}, 80, front=True) == ""
    assert refused({**coming, "sec-fetch-dest": "document"}, 80)
    assert refused({**coming, "sec-fetch-dest": "iframe"}, 80, front=True)
    assert refused({**coming, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 80, front=True)
    assert refused({**coming, "sec-fetch-dest": "document", "host": "evil.example:80"}, 80, front=True)
    assert refused({**coming, "sec-fetch-dest": "document", "origin": "null"}, 80, front=True)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_command_leaves_nothing_however_it_ends(name):
    """The real command, as a process: its address has a token, and after it neither process nor folder is left."""
    pytest.importorskip("fastapi", reason='the server is not installed: pip install "mewm[server]"')
    command = [sys.executable, "-m", "MeWMLib.cli", "app", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("MeWM is open at http://127.0.0.1:") and "/#token=" in line
        # the token is on no command line
        assert "token" not in " ".join(psutil.Process(process.pid).cmdline())
        folders = list((data_folder() / "app").glob("*/server"))
        assert len(folders) == 1
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(getattr(signal, name))
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.stdout.close()
    assert not folders[0].parent.exists()
    until = time.monotonic() + 10
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_browser_is_given_a_file_that_only_its_owner_reads(tmp_path, monkeypatch):
    """Arguments of a process are seen by every user of a computer, so the token is not in them."""
    import threading

    from MeWMLib.cli import app

    asked, done = [], threading.Event()
    monkeypatch.setattr(app.webbrowser, "open", lambda url: (asked.append(url), done.set()))
    app._open("http://127.0.0.1:5/#token=secret&x", tmp_path)
    assert done.wait(10)
    (url,) = asked
    assert url.startswith("file://") and "secret" not in url
    (file,) = tmp_path.iterdir()
    assert "url=http://127.0.0.1:5/#token=secret&amp;x" in file.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_port_that_is_taken_is_said(capsys, fake_script, small_bundle):
    import socket

    pytest.importorskip("fastapi", reason='the server is not installed: pip install "mewm[server]"')
    from MeWMLib import cli

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code = cli.main(["app", "--no-open", "--port", port], worker=[sys.executable, str(fake_script)])
    said = capsys.readouterr().err
    assert code == 2 and "cannot listen" in said and port in said
    assert not list((data_folder() / "app").glob("*/*"))
