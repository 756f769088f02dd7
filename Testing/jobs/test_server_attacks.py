"""Attacks and failures that a second reader of the server tried: each left something open, and is closed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import requests

from MeWMLib.core import living
from MeWMLib.core.errors import InputError, OutputError
from MeWMLib.jobs import server, server_files, server_state
from MeWMLib.jobs.job import Job, error_event
from MeWMLib.jobs.server_leftovers import left_behind
from MeWMLib.jobs.server_users import Tokens
from MeWMLib.jobs.store import RUNNING, Store, remove_tree
from Testing.jobs.asking import PLAN, ask, begin, body, error_of, lines, until

TINY = Job("propose", {"case": "sample:tiny"})


def started(data: Path) -> None:
    server_state.prepared(server_state.Settings(data, "t" * 20, worker=[sys.executable], python=None), server.make_app)


# what is not MeWM's stays


def test_a_folder_called_slots_that_is_not_ours_is_left_alone(tmp_path):
    thesis = tmp_path / "d" / "slots" / "0" / "thesis"
    thesis.mkdir(parents=True)
    (thesis / "chapter.txt").write_text("years of work")
    with pytest.raises(OutputError, match="Something lies where the server would put"):
        started(tmp_path / "d")
    assert (thesis / "chapter.txt").read_text() == "years of work"
    # the refusal gives the lock back
    (tmp_path / "d" / "slots").rename(tmp_path / "mine")
    lock = server_state.locked(tmp_path / "d")
    lock.release()


def test_what_more_slots_left_is_swept_when_there_are_fewer(serve, files, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    data = tmp_path / "server-0"
    running = serve(limits={"max_jobs": 2})
    ids = [begin(running, files=files) for _ in range(2)]
    until(lambda: running.jobs.running == 2)
    running.stop()
    monkeypatch.delenv("MEWM_FAKE")
    # as a killed server leaves it: the part of a job in its slot, and what the worker had in its temporary folder
    store = Store(data)
    row = store.get(ids[1])
    store.close()
    slot = data / "slots" / "1"
    (data / "jobs" / row.folder / server_files.WORK).rename(slot / row.folder)
    (slot / "tmp" / "half.nrrd").write_text("a patient")
    again = serve(data=data, limits={"max_jobs": 1})
    assert not [p for p in slot.rglob("*") if p.is_file()]
    for job_id in ids:
        assert lines(again, job_id)[-1]["kind"] == "result"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_folder_that_its_owner_may_not_write_to_is_removed():
    """As a worker leaves it that copies the permissions of a read-only medium."""
    with tempfile.TemporaryDirectory() as outside:
        Path(outside).chmod(0o777)
        top, kept = Path(outside) / "job", Path(outside) / "kept"
        root = os.geteuid() == 0
        try:
            if root:  # permissions are nothing to root
                os.seteuid(65534)
            inner = top / "a" / "b"
            inner.mkdir(parents=True)
            kept.mkdir()
            (inner / "scan").write_text("x")
            (inner / "link").symlink_to(kept)
            for folder, mode in ((kept, 0o500), (inner, 0o500), (inner.parent, 0), (top, 0o500)):
                folder.chmod(mode)
            remove_tree(top)
            assert not top.exists() and kept.stat().st_mode & 0o777 == 0o500
        finally:
            if root:
                os.seteuid(0)


# a worker that was taken over


HOSTILE = """
import pathlib, shutil
order = json.loads(sys.stdin.readline())
work = json.loads(pathlib.Path(order["file"]).read_text())
out = pathlib.Path(work["out"])
home, data = out.parent, pathlib.Path(%r)
how = %r
if how == "output":
    shutil.rmtree(out); out.symlink_to(data)
elif how == "files":
    for name in ("tokens.json", "audit.log"):
        (out / name).symlink_to(data / name)
    os.mkfifo(out / "pipe.json")
elif how == "folder":
    shutil.rmtree(home); home.symlink_to(data)
elif how == "planted":
    fake = home.parent / ("f" * 32); (fake / "in").mkdir(parents=True)
    row = {"id": "i" * 40, "folder": fake.name, "state": "done", "owner": "operator"}
    (fake / ".mewm-job").write_text(json.dumps(row))
for path in (home / "events.jsonl", home / ".mewm-job.new", home / ".mewm-job", home / "job.json", home / "stops"):
    try:
        path.symlink_to(data / "tokens.json")
    except OSError:
        pass
say("log", message="ready")
sys.stdin.readline()
say("result", data={})
"""


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize("how", ["output", "files", "folder", "planted"])
def test_a_worker_that_was_taken_over_makes_the_server_read_and_write_nothing_of_others(
    serve, script_of, how, files, tmp_path
):
    data = tmp_path / "server-0"
    Tokens(data).create("somebody")
    secret = (data / "tokens.json").read_bytes()
    running = serve(worker=script_of(HOSTILE % (str(data), how)))
    job_id = begin(running, files=files)
    until(lambda: running.jobs.folder(running.store.get(job_id)).events.exists())
    for moment in ("at work", "at its end", "after a restart"):
        listed = ask(running, "GET", f"/jobs/{job_id}/files").json()["files"]
        assert not {one["name"] for one in listed} & {"tokens.json", "audit.log", "jobs.sqlite", "pipe.json"}, moment
        for name in ("tokens.json", "audit.log", "jobs.sqlite", "pipe.json"):
            error_of(ask(running, "GET", f"/jobs/{job_id}/files/{name}"), 400)
        if moment == "at work":
            running.jobs.cancel(running.store.get(job_id))
            told = lines(running, job_id)
            assert "sha256" not in json.dumps(told), "the events are the server's own"
            assert told[-1]["kind"] == "result"
        elif moment == "at its end":
            running.stop()
            running = serve(data=data)
    assert [row.id for row in running.store.find()] == [job_id], "a planted row counts for nothing"
    assert ask(running, "DELETE", f"/jobs/{job_id}").json() == {"removed": True}
    assert (data / "tokens.json").read_bytes() == secret and running.folders() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_the_worker_of_a_killed_server_is_known_before_it_has_a_job(serve, tmp_path):
    running = serve()
    lines(running, begin(running, TINY))
    told = running.data / "slots" / "0.worker.json"
    process = json.loads(told.read_text())["process"]
    assert process["pid"] == running.jobs.slots[0].pid and living.lives(process["pid"], process["born"])
    running.stop()
    # the same place, a process that is not its worker any more, and one that is
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as left:
        for born, ends in ((living.born(left.pid) - 1.0, False), (living.born(left.pid), True)):
            told.write_text(json.dumps({"process": {"pid": left.pid, "born": born}}))
            left_behind(running.data)
            assert (left.poll() is not None) == ends


def test_the_birth_of_a_process_does_not_move_with_the_clock(monkeypatch):
    born = living.born(os.getpid())
    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() + 1e6)
    assert living.lives(os.getpid(), born) and not living.lives(os.getpid(), 0.0) and not living.lives(0, born)
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as gone:
        at = living.born(gone.pid)
        if sys.platform.startswith("linux"):
            until(lambda: living.born(gone.pid) == 0.0)  # a process that nobody has asked for its end
        gone.wait()
        assert not living.lives(gone.pid, at)


# the disk is full, the store is lost


def test_a_store_that_cannot_be_written_for_a_while_loses_no_job(serve, monkeypatch):
    monkeypatch.setattr("MeWMLib.jobs.server_work._PAUSE_S", 0.02)
    running = serve()
    really, left = running.store.change, [6]

    def full(job_id, **news):
        if left[0] and news.get("state") in ("running", "done"):
            left[0] -= 1
            raise OutputError(what="The store of jobs cannot be written (database or disk is full)")
        return really(job_id, **news)

    monkeypatch.setattr(running.store, "change", full)
    ids = [begin(running, TINY) for _ in range(2)]
    for job_id in ids:
        kinds = [one["kind"] for one in lines(running, job_id) if "kind" in one]
        assert kinds.count("result") == 1 and kinds[-1] == "result"
        state = ask(running, "GET", f"/jobs/{job_id}").json()
        assert state["state"] == "done" and state["attempts"] == 1
    assert left == [0]


def test_a_job_whose_files_are_gone_does_not_hold_up_the_others(serve, script_of):
    running = serve(worker=script_of("sys.stdin.readline(); time.sleep(0.3); say('result', data={})"))
    ids = [begin(running, TINY) for _ in range(3)]
    remove_tree(running.store.jobs / running.store.get(ids[1]).folder / server_files.WORK)
    assert lines(running, ids[1])[-1]["data"]["what"] == "The server has lost the files of the job"
    assert lines(running, ids[2])[-1]["kind"] == "result"


def test_an_end_that_cannot_be_written_down_is_said_all_the_same(serve, monkeypatch):
    really = server_files.JobFolder.say

    def full(self, event):
        if event.kind == "result":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(self, event)

    monkeypatch.setattr(server_files.JobFolder, "say", full)
    running = serve()
    job_id = begin(running, TINY)
    told = lines(running, job_id)
    assert told[-1]["kind"] == "error" and "could not write down how" in told[-1]["data"]["what"]
    assert running.jobs.running == 0


def test_a_job_that_had_ended_when_the_server_was_killed_is_not_done_again(serve, files):
    running = serve()
    ids = [begin(running, files=files) for _ in range(2)]
    whole = [lines(running, job_id) for job_id in ids]
    running.stop()
    # the moment between the last event and the store
    store = Store(running.data)
    for job_id in ids:
        store.change(job_id, state=RUNNING, ended=0.0, slot=0)
    folder = store.jobs / store.get(ids[1]).folder
    (folder / "events.jsonl").unlink()
    server_files.JobFolder(folder).say(error_event(InputError(what="The case is none")))
    store.close()
    again = serve(data=running.data)
    assert lines(again, ids[0]) == whole[0]
    states = [again.store.get(job_id) for job_id in ids]
    assert [(row.state, row.outcome, row.attempts) for row in states] == [("done", "", 1), ("failed", "InputError", 1)]


def test_what_was_promised_to_one_upload_is_not_promised_to_the_next(serve, files, monkeypatch):
    running = serve(limits={"spare_bytes": 0})
    size = sum(map(len, files.values()))
    disk = os.statvfs(running.data) if os.name == "posix" else None
    usage = (disk.f_blocks if disk else 1, 0, int(1.5 * size))
    monkeypatch.setattr(server_files.shutil, "disk_usage", lambda path: type("U", (), {"free": usage[2]}))
    head = body(PLAN, files).partition(b"\n")[0]
    assert ask(running, "POST", "/uploads", data=head).status_code == 200
    assert "too full" in error_of(ask(running, "POST", "/uploads", data=head), 507)["what"]


# tokens


CHATTY = "sys.stdin.readline()\nwhile True:\n    say('log', message='a'); time.sleep(0.02)"
QUIET = "sys.stdin.readline(); say('log', message='a'); sys.stdin.readline()"


@pytest.mark.parametrize("worker", [QUIET, CHATTY], ids=["quiet", "chatty"])
def test_a_token_that_is_revoked_while_it_listens_hears_no_more(serve, script_of, monkeypatch, worker):
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.1)
    running = serve(worker=script_of(worker))
    tokens = Tokens(running.data)
    secret = tokens.create("anna")
    head = {"Authorization": f"Bearer {secret}"}
    more = {"headers": head, "proxies": {"http": None}, "timeout": 20}
    job_id = requests.post(running.url + "/jobs", data=body(TINY), **more).json()["id"]
    with requests.get(f"{running.url}/jobs/{job_id}/events", stream=True, **more) as answer:
        heard = answer.iter_lines()
        assert next(line for line in heard if line)
        tokens.revoke("anna")
        left = [line for line in heard if line]  # the stream ends, although the job is at work
        assert len(left) < 200 and (worker == CHATTY or left == [])
    assert running.jobs.running == 1


def test_a_file_of_tokens_that_is_damaged_or_open_to_others_lets_nobody_in_and_names_no_folder(serve):
    running = serve()
    Tokens(running.data).create("anna")
    file = running.data / "tokens.json"
    content = file.read_text()
    for damage in ("content", "permission"):
        if damage == "permission" and os.name != "posix":
            continue
        file.write_text("{" if damage == "content" else content)
        file.chmod(0o600 if damage == "content" else 0o622)
        answer = ask(running, "GET", "/version", token="x" * 30)
        assert error_of(answer, 503)["what"] == "The server cannot read its tokens"
        assert str(running.data) not in answer.text and "tokens.json" not in answer.text
    running.stop()
    with pytest.raises(InputError, match="can be read or written by other users"):
        started(running.data)


@pytest.mark.parametrize("days", [float("nan"), float("inf"), -1.0])
def test_a_token_has_an_end_that_is_a_time(tmp_path, days):
    tokens = Tokens(tmp_path)
    kept = tokens.create("bert")
    with pytest.raises(InputError, match="expire"):
        tokens.create("anna", days)
    assert [one.name for one in Tokens(tmp_path).all()] == ["bert"] and tokens.user(kept).name == "bert"


def test_no_error_tells_where_the_server_keeps_its_data(serve, files, monkeypatch):
    running = serve()

    def full(*arguments, **more):
        raise OutputError(what="It cannot be written", given=f"{running.data / 'jobs.sqlite'} (full)", remedy="")

    monkeypatch.setattr(running.store, "add", full)
    error = error_of(ask(running, "POST", "/jobs", data=body(PLAN, files)), 507)
    assert error["given"] == "DATA/jobs.sqlite (full)"


# nobody is starved


def test_silent_connections_before_tls_are_counted_and_ended(serve, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    limits = {"header_s": 2.0, "connections_per_address": 3}
    running = serve(certificate=certificate[0], key=certificate[1], limits=limits)
    assert ask(running, "GET", "/healthz").text == "ok\n"
    until(lambda: not running._socket._silent)
    port = int(running.url.rpartition(":")[2])
    held = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(3)]
    until(lambda: len(running._socket._silent) == 3)
    with socket.create_connection(("127.0.0.1", port), 10) as one_more:
        try:
            assert one_more.recv(1) == b""
        except ConnectionError:
            pass
        assert len(running._socket._silent) == 3, "the fourth was turned away, not one of the others"
    for one in held:
        # ended by the server, which asyncio alone would do after a minute
        one.settimeout(30)
        assert one.recv(1) == b""
        one.close()
    until(lambda: not running._socket._silent and not running._socket._count)
    assert ask(running, "GET", "/healthz").text == "ok\n"


# two clients


def test_two_requests_that_send_the_same_job_do_not_mix(serve, files):
    running = serve()
    content = body(PLAN, files, head={"key": "a-key-of-the-client"})
    half, go_on, answers = threading.Event(), threading.Event(), []

    def slowly():
        yield content[:-200]
        half.set()
        go_on.wait(20)
        yield content[-200:]

    first = threading.Thread(target=lambda: answers.append(ask(running, "POST", "/jobs", data=slowly())))
    first.start()
    half.wait(20)
    until(lambda: list(running.data.rglob("*.part")))
    assert "same job" in error_of(ask(running, "POST", "/jobs", data=content), 409)["what"]
    go_on.set()
    first.join(20)
    assert answers[0].status_code == 200
    assert lines(running, answers[0].json()["id"])[-1]["kind"] == "result" and len(running.store.find()) == 1


def _sent(running, files, name="ct.nrrd", content=None, offset=0):
    """Announce a job and send a piece of it; (id, answer)."""
    job_id = ask(running, "POST", "/uploads", data=body(PLAN, files).partition(b"\n")[0]).json()["id"]
    return job_id, _piece(running, job_id, name, files[name] if content is None else content, offset)


def _piece(running, job_id, name, content, offset=0):
    whole = b"".join(list.__iter__(content)) if isinstance(content, list) else content
    sha256 = hashlib.sha256(whole).hexdigest()
    path, more = f"/jobs/{job_id}/upload/{name}?offset={offset}", {"X-MeWM-SHA256": sha256}
    data = iter(content) if isinstance(content, list) else content
    head = {"Authorization": f"Bearer {running.token}", **more}
    return requests.put(running.url + path, data=data, headers=head, timeout=30, proxies={"http": None})


def test_a_job_that_is_removed_while_it_is_sent_is_unknown_and_gone(serve, files):
    running = serve()
    job_id, answer = _sent(running, files, content=files["ct.nrrd"][:100])
    assert answer.json() == {"offset": 100}
    go_on, answers = threading.Event(), []

    class Slow(list):
        def __iter__(self):
            yield self[0]
            go_on.wait(20)
            yield self[1]

    rest = Slow([files["ct.nrrd"][100:200], files["ct.nrrd"][200:300]])
    sending = threading.Thread(target=lambda: answers.append(_piece(running, job_id, "ct.nrrd", rest, 100)))
    sending.start()
    until(lambda: running.state_app.state.uploads.busy)
    assert "still being sent" in error_of(ask(running, "POST", f"/jobs/{job_id}/upload"), 409)["what"]
    assert ask(running, "DELETE", f"/jobs/{job_id}").json() == {"removed": True}
    go_on.set()
    sending.join(20)
    assert answers[0].status_code == 404, answers[0].text
    assert error_of(ask(running, "GET", f"/jobs/{job_id}/upload"), 404) and running.folders() == []


def test_a_file_that_declares_too_much_leaves_nothing_when_it_was_sent_in_pieces(serve, files):
    running = serve(limits={"max_voxel_bytes": 1000})
    job_id, _ = _sent(running, files)
    assert _piece(running, job_id, "labels.nrrd", files["labels.nrrd"]).status_code == 200
    assert "unpacks to more" in error_of(ask(running, "POST", f"/jobs/{job_id}/upload"), 413)["what"]
    assert running.folders() == [] and running.store.find() == []


def test_the_places_of_all_who_wait_are_worked_out_once_for_each_change(serve, script_of, monkeypatch):
    running = serve(worker=script_of("sys.stdin.readline(); sys.stdin.readline(); say('result', data={})"))
    ids = [begin(running, TINY) for _ in range(12)]
    until(lambda: running.jobs.running)
    worked, really = [], running.jobs._queue.order
    monkeypatch.setattr(running.jobs._queue, "order", lambda rows: worked.append(1) or really(rows))
    running.store.version += 1
    for _ in range(3):
        listed = ask(running, "GET", "/jobs").json()["jobs"]
    assert [one["position"] for one in listed] == list(range(12)) and len(worked) == 1
    running.jobs.cancel(running.store.get(ids[5]))
    assert [one["position"] for one in ask(running, "GET", "/jobs").json()["jobs"]] == [*range(5), 0, *range(5, 11)]
