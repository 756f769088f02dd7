"""The runner survives everything that a worker can do, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from MeWMLib.core.errors import CancelledError, NoTumourError, WorkerError
from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.runner import LocalRunner, run

JOB = Job("plan", {"case": "sample:tiny"})
_HEAD = """
import json, os, signal, subprocess, sys, time
def say(kind, **more):
    print(json.dumps({"version": 1, "kind": kind, **more}), flush=True)
"""
_GRANDCHILD = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
say("log", message="grandchild", data={"pids": [os.getpid(), child.pid]})
"""
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture
def script(tmp_path: Path):
    """Make a worker of a few lines; returns its command."""

    def make(body: str) -> list[str]:
        file = tmp_path / "worker.py"
        file.write_text(_HEAD + textwrap.dedent(body), encoding="utf-8")
        return [sys.executable, "-S", str(file)]

    return make


def _gone(pids: list[int], within_s: float = 10.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        alive = [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE]
        if not alive:
            return True
        time.sleep(0.05)
    return False


def _pids(events: list[Event]) -> list[int]:
    return [pid for event in events for pid in event.data.get("pids", [])]


def test_a_result_comes_back_with_all_events_in_order(script):
    events: list[Event] = []
    command = script(
        """
        job = json.load(open(sys.argv[1], encoding="utf-8"))
        for n in range(50):
            say("progress", stage="plan", fraction=n / 50)
        say("result", data={"case": job["inputs"]["case"], "cwd": os.getcwd()})
        """
    )
    result = run(JOB, events.append, command=command)
    assert result == {"case": "sample:tiny", "cwd": str(Path.cwd())}
    assert [e.fraction for e in events[:-1]] == [n / 50 for n in range(50)] and events[-1].kind == "result"


def test_garbage_and_huge_lines_on_stdout_become_log_events(script):
    events: list[Event] = []
    command = script(
        """
        print("Downloading weights ...")
        print('{"version": 1, "kind": "paint"}')
        sys.stdout.buffer.write(b"\\xff\\xfe broken\\n\\n")
        sys.stdout.flush()
        print("x" * 3_000_000)
        say("result", data={"big": "y" * 3_000_000})
        """
    )
    result = run(JOB, events.append, command=command)
    assert len(result["big"]) == 3_000_000
    logs = [e.message for e in events if e.kind == "log"]
    assert len(logs) == 4 and logs[0] == "Downloading weights ..." and max(map(len, logs)) <= runner.LOG_CHARACTERS


def test_a_typed_error_is_raised_in_its_type(script):
    command = script('say("error", data={"type": "NoTumourError", "what": "No tumour", "remedy": "Look"}); sys.exit(2)')
    with pytest.raises(NoTumourError, match="No tumour. Look."):
        run(JOB, command=command)


def test_a_crash_names_the_exit_code_and_the_last_words(script):
    command = script("for n in range(500): print(f'line {n}', file=sys.stderr)\n1 / 0")
    with pytest.raises(WorkerError) as caught:
        run(JOB, command=command)
    assert "exit code 1" in str(caught.value) and "ZeroDivisionError" in str(caught.value)
    assert "line 400" not in str(caught.value), "only the tail"
    assert caught.value.exit_code == 1


@posix
@pytest.mark.parametrize(("name", "hint"), [("SIGKILL", "memory ran out"), ("SIGSEGV", "native library")])
def test_a_signal_is_named_with_a_hint(script, name, hint):
    with pytest.raises(WorkerError, match=f"{name}.*{hint}"):
        run(JOB, command=script(f"os.kill(os.getpid(), signal.{name})"))


def test_out_of_memory_in_the_last_words_is_named(script):
    with pytest.raises(WorkerError, match="out of memory"):
        run(JOB, command=script("raise MemoryError"))


def test_a_silent_end_is_an_error(script):
    with pytest.raises(WorkerError, match="exit code 0.*wrote nothing"):
        run(JOB, command=script(""))


def test_an_interpreter_that_is_not_there(tmp_path):
    with pytest.raises(WorkerError, match="cannot be started"):
        run(JOB, command=[str(tmp_path / "nonesuch")])


def test_cancel_lets_the_worker_finish_what_it_has(script):
    command = script('say("log"); line = sys.stdin.readline(); say("result", data=json.loads(line))')
    assert run(JOB, None, lambda: True, command=command) == {"command": "cancel"}


def test_a_worker_that_hangs_on_cancel_is_ended_with_its_children(script):
    events: list[Event] = []
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if os.name == "posix" else ""
    command = script(ignore + _GRANDCHILD + "time.sleep(600)")
    with pytest.raises(CancelledError):
        run(JOB, events.append, lambda: bool(_pids(events)), command=command, grace_s=0.3)
    assert len(_pids(events)) == 2 and _gone(_pids(events))


def test_children_of_a_dead_worker_are_ended_too(script):
    events: list[Event] = []
    with pytest.raises(WorkerError):
        run(JOB, events.append, command=script(_GRANDCHILD + "os._exit(5)"))
    if os.name == "posix":  # elsewhere an orphan cannot be found any more
        assert _gone(_pids(events))


def test_a_worker_that_lingers_after_its_result_is_ended(script, monkeypatch):
    monkeypatch.setattr(runner, "EXIT_GRACE_S", 0.2)
    assert run(JOB, command=script('say("result", data={"a": 1}); time.sleep(600)')) == {"a": 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_in_the_parent_leaves_no_process(script, error):
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        raise error

    with pytest.raises(error):
        run(JOB, on_event, command=script(_GRANDCHILD + "time.sleep(600)"))
    assert _gone(_pids(events))


def test_an_exception_in_a_callback_of_start_reaches_wait(script):
    pids: list[int] = []

    def on_event(event: Event) -> None:
        pids.extend(event.data.get("pids", []))
        raise ValueError("in the callback")

    worker = LocalRunner(script(_GRANDCHILD + "time.sleep(600)"))
    worker.start(JOB, on_event)
    with pytest.raises(ValueError, match="in the callback"):
        worker.wait()
    assert _gone(pids)


def test_start_and_wait_with_a_time_limit(script):
    with LocalRunner(script('say("log"); sys.stdin.readline(); say("result", data={})')) as worker:
        worker.start(JOB)
        assert worker.pid is not None and worker.wait(0.2) is None
        with pytest.raises(WorkerError, match="started a job before"):
            worker.start(JOB)
        worker.cancel()
        worker.cancel()
        assert worker.wait() == {}
    assert _gone([worker.pid])


def test_the_job_file_is_removed(script):
    result = run(JOB, command=script('say("result", data={"file": sys.argv[1]})'))
    assert not Path(result["file"]).parent.exists()


@posix
def test_the_worker_ends_itself_when_its_parent_is_killed(tmp_path, fake_script, small_bundle):
    """The parent is killed by SIGKILL, so that only the closed standard input can tell the worker."""
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            from MeWMLib.jobs.job import Job
            from MeWMLib.jobs.runner import LocalRunner
            worker = LocalRunner([sys.executable, {str(fake_script)!r}])
            worker.start(Job("plan", {{"case": "sample:tiny"}}, {str(tmp_path / "out")!r}))
            sys.stdout.write(f"{{worker.pid}}\\n"); sys.stdout.flush()
            time.sleep(600)
            """
        )
    )
    environment = {**runner.child_environment(), "MEWM_FAKE": "slow"}
    process = subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert _gone([pid], within_s=30.0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3"), ({"OMP_NUM_THREADS": "2"}, None)],
)
def test_small_products_run_on_one_thread_unless_the_user_says_otherwise(monkeypatch, given, expected) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert runner.child_environment().get("OPENBLAS_NUM_THREADS") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "PASSIVE"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        ({"GOMP_SPINCOUNT": "9"}, None),
        ({"KMP_BLOCKTIME": "1"}, None),
    ],
)
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch, given, expected) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert runner.child_environment().get("OMP_WAIT_POLICY") == expected


def test_memory_is_shared_among_two_arenas_unless_the_user_says_otherwise(monkeypatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert runner.child_environment()["MALLOC_ARENA_MAX"] == "2"
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    assert runner.child_environment()["MALLOC_ARENA_MAX"] == "7"
