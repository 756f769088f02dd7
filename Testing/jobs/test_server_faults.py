"""Every way in which a server was once made to lose, leak or block: what the user sees, and that nothing is left."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from MeWMLib.core.errors import InputError, OutputError
from MeWMLib.jobs import server, server_jobs, server_state
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.server_check import confinement
from MeWMLib.jobs.store import MARK, Row, Store
from Testing.jobs.asking import PLAN, ask, begin, body, error_of, lines, said, until

TINY = Job("propose", {"case": "sample:tiny"})


def settings(data: Path, **more) -> server_state.Settings:
    return server_state.Settings(data, "t" * 20, worker=[sys.executable], python=None, **more)


# what is not MeWM's stays


def test_what_lies_in_the_data_folder_is_not_removed(serve, tmp_path):
    jobs = tmp_path / "server-0" / "jobs"
    (jobs / "thesis").mkdir(parents=True)
    (jobs / "thesis" / "chapter.txt").write_text("years of work")
    (jobs / "notes.txt").write_text("mine")
    # a name like ours, but no mark; and a mark that was copied into another folder
    (jobs / ("a" * 32)).mkdir()
    (jobs / ("b" * 32)).mkdir()
    (jobs / ("b" * 32) / MARK).write_text(json.dumps({"id": "x", "folder": "c" * 32, "state": "done"}))
    before = sorted(str(p) for p in jobs.rglob("*"))
    running = serve()
    lines(running, begin(running, TINY))
    running.stop()
    assert [p for p in before if not Path(p).exists()] == []


def test_a_leftover_with_the_mark_is_removed_at_the_start(serve, tmp_path):
    left = tmp_path / "server-0" / "jobs" / ("a" * 32)
    left.mkdir(parents=True)
    (left / MARK).write_text(json.dumps({"id": "x", "folder": "a" * 32, "state": "uploading"}))
    (left / "in").mkdir()
    (left / "in" / "ct.nrrd").write_text("a patient")
    serve()
    assert not left.exists()


def test_a_second_server_harms_nothing_of_the_first(serve, files):
    first = serve()
    job_id = begin(first, files=files)
    lines(first, job_id)
    before = sorted(str(p) for p in first.data.rglob("*.nrrd"))
    port = int(first.url.rpartition(":")[2])
    with pytest.raises(InputError, match="cannot listen"):
        server_state.prepared(settings(first.data, port=port), server.make_app)
    with pytest.raises(OutputError, match="Another server uses this data folder"):
        server_state.prepared(settings(first.data), server.make_app)
    assert sorted(str(p) for p in first.data.rglob("*.nrrd")) == before and before
    assert ask(first, "GET", f"/jobs/{job_id}/files").json()["files"]


def test_a_port_that_is_taken_touches_no_folder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as held, pytest.raises(InputError):
        server_state.prepared(settings(tmp_path / "d", port=held.getsockname()[1]), server.make_app)
    assert not (tmp_path / "d").exists()


# what a worker can reach


PROBE = """
import socket
told = {}
for name, path in json.loads(%r).items():
    try:
        open(path).read()
        told[name] = "read"
    except OSError as error:
        told[name] = type(error).__name__
try:
    open(%r, "w")
    told["write"] = "written"
except OSError as error:
    told["write"] = type(error).__name__
try:
    socket.create_connection(("127.0.0.1", %d), 2).close()
    told["network"] = "open"
except OSError as error:
    told["network"] = type(error).__name__
try:
    os.kill(%d, 0)
    told["signal"] = "allowed"
except OSError as error:
    told["signal"] = type(error).__name__
told["umask"] = os.umask(0o077)
say("result", data=told)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Landlock is Linux's")
def test_a_worker_reaches_nothing_but_its_own_folder(serve, script_of, tmp_path, files):
    if "Landlock" not in confinement().get("files", ""):
        pytest.skip("this kernel has no Landlock")
    secret = tmp_path / "another-patient.nrrd"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = serve()
        other = begin(running, files=files)
        lines(running, other)
        folder = running.jobs.folder(running.store.get(other)).path
        paths = {
            "elsewhere": str(secret),
            "other job": str(folder / "job.json"),
            "store": str(running.data / "jobs.sqlite"),
            "audit": str(running.data / "audit.log"),
            "system": "/etc/passwd",
        }
        port = listening.getsockname()[1]
        text = PROBE % (json.dumps(paths), str(tmp_path / "planted"), port, os.getpid())
        running.jobs.slots[0]._inner[:] = script_of(text)
        running.jobs.slots[0]._warm.close()
        told = lines(running, begin(running, TINY))[-1]["data"]
    assert told["system"] == "read", "the search finds what may be read"
    for name in ("elsewhere", "other job", "store", "audit", "write"):
        assert told[name] == "PermissionError", (name, told)
    assert told["network"] != "open" and not (tmp_path / "planted").exists()
    assert told["signal"] in ("PermissionError", "allowed") and told["umask"] == 0o077


def test_the_check_says_what_holds_here():
    told = confinement()
    assert set(told) == {"limits", "network", "files"} or not sys.platform.startswith("linux")


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_files_of_patients_are_for_their_owner_alone(serve, files):
    before = os.umask(0)
    try:
        running = serve()
        job_id = begin(running, files=files)
        lines(running, job_id)
    finally:
        os.umask(before)
    found = [p for p in running.data.rglob("*") if "jobs" in p.parts or p.suffix in (".log", ".sqlite", ".json")]
    assert len(found) > 10
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


# what is removed is gone


def test_a_removal_that_fails_is_said_and_tried_again(serve, files, monkeypatch):
    running = serve()
    job_id = begin(running, files=files)
    lines(running, job_id)
    really = server_jobs.removed
    monkeypatch.setattr(server_jobs, "removed", lambda folder: False)
    answer = ask(running, "DELETE", f"/jobs/{job_id}")
    assert answer.status_code == 202 and answer.json()["removed"] is False and "tries again" in answer.json()["remedy"]
    assert ask(running, "GET", f"/jobs/{job_id}").status_code == 404, "nobody sees it any more"
    assert running.folders()
    monkeypatch.setattr(server_jobs, "removed", really)
    running.jobs.sweep()
    assert running.folders() == [] and running.store.find() == []


def test_removing_a_job_that_is_at_work_leaves_nothing(serve, files, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    running = serve()
    job_id = begin(running, files=files)
    until(lambda: running.jobs.running)
    assert ask(running, "DELETE", f"/jobs/{job_id}").json() == {"removed": True}
    assert running.folders() == [] and running.jobs.running == 0


# nobody is starved


def _raw(running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), 10)


def _ended(connection: socket.socket, seconds: float = 10.0) -> bool:
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_connections_without_a_header_are_ended(serve):
    running = serve(limits={"header_s": 0.4})
    with _raw(running) as idle, _raw(running) as dripping:
        try:
            for letter in b"GET /healthz HTTP/1.1":
                dripping.sendall(bytes([letter]))
                time.sleep(0.05)
        except OSError:
            pass
        assert _ended(idle) and _ended(dripping)


def test_what_follows_an_answer_has_a_deadline_too(serve):
    running = serve(limits={"header_s": 0.4})
    with _raw(running) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea")
        assert _ended(connection)
    with _raw(running) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nx")
        assert _ended(connection)


def test_one_address_has_so_many_connections(serve):
    running = serve(limits={"connections_per_address": 3})
    held = [_raw(running) for _ in range(3)]
    with _raw(running) as one_more:
        one_more.settimeout(10)
        assert one_more.recv(100).startswith(b"HTTP/1.1 503")
    for one in held:
        one.close()
    until(lambda: requests.get(running.url + "/healthz", proxies={"http": None}, timeout=10).status_code == 200)


@pytest.mark.parametrize("limits", [{"quiet_s": 0.3}, {"body_s": 0.5}])
def test_an_upload_that_drips_is_ended_and_holds_no_slot(serve, files, limits):
    running = serve(limits=limits)

    def dripping():
        yield body(PLAN, files)[:600]
        for _ in range(100):
            time.sleep(0.1 if "body_s" in limits else 0.6)
            yield b"x"

    import threading

    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(running, "POST", "/jobs", data=dripping())))
    thread.start()
    # meanwhile somebody else's job is begun and done
    assert lines(running, begin(running, TINY))[-1]["kind"] == "result"
    thread.join(20)
    assert not answers or answers[0].status_code == 408
    until(lambda: running.store.count(states=("uploading",)) == 0)


def test_one_user_sends_so_many_at_a_time(serve, files):
    running = serve(limits={"max_uploads_per_user": 2})
    head = body(PLAN, files).partition(b"\n")[0]
    for _ in range(2):
        assert ask(running, "POST", "/uploads", data=head).status_code == 200
    assert error_of(ask(running, "POST", "/uploads", data=head), 503)["type"] == "ServerBusyError"


def test_an_upload_that_nobody_goes_on_with_is_removed(serve, files):
    running = serve(limits={"upload_quiet_s": 1000.0})
    head = body(PLAN, files).partition(b"\n")[0]
    assert ask(running, "POST", "/uploads", data=head).status_code == 200
    running.jobs.sweep()
    assert len(running.folders()) == 1
    running.jobs._heard = {job_id: at - 1001.0 for job_id, at in running.jobs._heard.items()}
    running.jobs.sweep()
    assert running.folders() == []


# what a worker takes


def test_a_worker_that_takes_too_much_memory_is_ended(serve, script_of):
    text = "data = bytearray(400 * 1024 * 1024)\nfor n in range(0, len(data), 4096): data[n] = 1\ntime.sleep(60)"
    running = serve(worker=script_of(text), limits={"worker_memory_bytes": 200 * 1024**2})
    final = lines(running, begin(running, TINY))[-1]["data"]
    assert final["type"] == "OutOfMemoryError" and "0.2 GB" in final["given"]
    assert running.jobs.running == 0


def test_a_worker_that_takes_too_long_is_ended(serve, script_of):
    running = serve(worker=script_of("time.sleep(60)"), limits={"job_s": 0.5})
    final = lines(running, begin(running, TINY))[-1]["data"]
    assert "longer than this server allows" in final["what"]


def test_a_worker_that_dies_is_begun_three_times(serve, script_of, tmp_path):
    running = serve(worker=script_of("say('log', message='begun')\nos.kill(os.getpid(), 9)"))
    job_id = begin(running, TINY)
    told = lines(running, job_id)
    assert told[-1]["data"]["type"] == "WorkerKilledError"
    assert [e["message"] for e in told].count("begun") == 3
    state = ask(running, "GET", f"/jobs/{job_id}").json()
    assert state["attempts"] == 3 and state["state"] == "failed" and state["outcome"] == "WorkerKilledError"


# what survives


def _again(serve, running, **more):
    """A server on the same folder."""
    running.stop()
    again = serve(data=running.data, **more)
    return again


def test_jobs_survive_a_stop_and_go_on(serve, files, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    running = serve()
    ids = [begin(running, files=files) for _ in range(3)]
    until(lambda: len(said(running, ids[0])) > 4)
    heard = len(said(running, ids[0]))
    monkeypatch.delenv("MEWM_FAKE")
    again = _again(serve, running)
    for job_id in ids:
        assert lines(again, job_id)[-1]["kind"] == "result"
    whole = lines(again, ids[0])
    assert any("interrupted" in e["message"] for e in whole[heard:]), "a client goes on where it had stopped"
    assert again.jobs.queued == again.jobs.running == 0


def test_half_a_line_and_half_an_upload_of_a_killed_server(tmp_path, serve, files):
    running = serve()
    done = begin(running, files=files)
    whole = lines(running, done)
    row = running.store.get(done)
    running.stop()
    with (running.data / "jobs" / row.folder / "events.jsonl").open("ab") as stream:
        stream.write(b'{"version": 1, "kind": "lo')
    again = serve(data=running.data)
    assert lines(again, done) == whole


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "gone"])
def test_a_damaged_store_is_made_anew_from_the_folders(serve, files, damage, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    running = serve()
    done, waiting = begin(running, files=files), begin(running, files=files)
    until(lambda: running.jobs.running)
    running.stop()
    file = running.data / "jobs.sqlite"
    for ending in ("-wal", "-shm"):
        (running.data / f"jobs.sqlite{ending}").unlink(missing_ok=True)
    content = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes({"garbage": b"no database" * 999, "empty": b"", "cut": content[: len(content) // 2]}[damage])
    monkeypatch.delenv("MEWM_FAKE")
    again = serve(data=running.data)
    for job_id in (done, waiting):
        assert lines(again, job_id)[-1]["kind"] == "result"


def test_a_jump_of_the_clock_removes_nothing(serve, files, monkeypatch):
    running = serve()
    job_id = begin(running, files=files)
    lines(running, job_id)
    really = time.time
    for years in (10, -10):
        monkeypatch.setattr(time, "time", lambda years=years: really() + years * 3e7)
        running.jobs.sweep()
        assert running.store.get(job_id) is not None
        assert lines(running, begin(running, TINY))[-1]["kind"] == "result"


def test_a_full_disk_is_said_and_leaves_nothing(serve, files, monkeypatch):
    running = serve(limits={"spare_bytes": 10**18})
    error = error_of(ask(running, "POST", "/jobs", data=body(PLAN, files)), 507)
    assert error["type"] == "OutputError" and "too full" in error["what"] and "MB are free" in error["given"]
    assert ask(running, "GET", "/readyz", token=None).status_code == 503
    assert running.folders() == []


@pytest.mark.parametrize("number", [28, 122])
def test_a_disk_that_fills_up_during_an_upload(serve, files, monkeypatch, number):
    """ENOSPC is what a disk without inodes says, too."""
    from MeWMLib.jobs import server_upload

    running = serve()

    def full(path, mode):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(server_upload, "private", full)
    assert error_of(ask(running, "POST", "/jobs", data=body(PLAN, files)), 507)["type"] == "OutputError"
    assert running.folders() == [] and running.store.find() == []
    monkeypatch.undo()
    begin(running, files=files)


def test_retention_by_size_removes_the_oldest(serve, files):
    running = serve(limits={"keep_bytes": 60_000})
    ids = [begin(running, files=files) for _ in range(4)]
    for job_id in ids:
        lines(running, job_id)
        running.store.age(10.0)
    running.jobs.sweep()
    left = [job_id for job_id in ids if running.store.get(job_id)]
    assert left == ids[-len(left) :] and 0 < len(left) < 4


# the queue as a user sees it


def test_what_waits_is_told_its_place(serve, script_of, tmp_path, files):
    running = serve(worker=script_of("sys.stdin.readline(); sys.stdin.readline(); say('result', data={})"))
    ids = [begin(running, TINY) for _ in range(3)]
    until(lambda: running.jobs.running)
    states = [ask(running, "GET", f"/jobs/{job_id}").json() for job_id in ids]
    assert [s["state"] for s in states] == ["running", "queued", "queued"]
    assert [s["position"] for s in states] == [0, 1, 2] and 0 < states[1]["expected_wait_s"] < states[2][
        "expected_wait_s"
    ]
    with ask(running, "GET", f"/jobs/{ids[2]}/events", stream=True) as answer:
        told = json.loads(next(line for line in answer.iter_lines() if line))
    assert told["queue"]["position"] == 2
    ask(running, "POST", f"/jobs/{ids[1]}/cancel")
    assert lines(running, ids[1])[-1]["data"]["type"] == "CancelledError"
    assert ask(running, "GET", f"/jobs/{ids[2]}").json()["position"] == 1


def test_the_same_key_makes_one_job(serve, files):
    running = serve()
    content = body(PLAN, files, head={"key": "a-key-of-the-client"})
    ids = {ask(running, "POST", "/jobs", data=content).json()["id"] for _ in range(3)}
    assert len(ids) == 1 and len(running.folders()) == 1


def test_the_store_keeps_its_rows(tmp_path):
    store = Store(tmp_path)
    row = store.add(Row.new(owner="a", key="k" * 8))
    assert store.add(Row.new(owner="a", key="k" * 8)) == row and store.add(Row.new(owner="b", key="k" * 8)) != row
    store.change(row.id, state="queued")
    store.close()
    again = Store(tmp_path)
    assert again.get(row.id).state == "queued" and [r.sequence for r in again.find()] == [1, 2]
    again.close()
    with pytest.raises(OutputError):
        again.change(row.id, state="done")
    (tmp_path / "unmarked").mkdir()
    from MeWMLib.jobs.store import removed

    with pytest.raises(OutputError, match="mark"):
        removed(tmp_path / "unmarked")
    # a store of an older version gets the columns that it lacks
    old = tmp_path / "old"
    old.mkdir()
    database = sqlite3.connect(old / "jobs.sqlite")
    database.execute(
        "CREATE TABLE jobs (id TEXT NOT NULL, folder TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (id))"
    )
    database.execute("INSERT INTO jobs VALUES ('i', 'f', 'done')")
    database.commit()
    database.close()
    assert Store(old).get("i").attempts == 0


def test_only_the_same_process_is_ended_as_a_leftover():
    from MeWMLib.core.living import born
    from MeWMLib.jobs.server_leftovers import end_leftover

    with psutil.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as process:
        at = born(process.pid)
        end_leftover(process.pid, at - 100.0)
        assert process.is_running(), "the number belongs to another process now"
        end_leftover(process.pid, at)
        process.wait(10)
