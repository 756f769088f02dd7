"""Locks of outputs: one writer at a time, none left by the dead, half-written files of a killed run cleared away."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from MeWMLib.core.errors import OutputError
from MeWMLib.core.locks import LOCK, FileLock, writing
from MeWMLib.jobs.processes import child_environment


def holder(out: Path) -> subprocess.Popen:
    """A process that writes to a folder until it is killed."""
    code = """
        import sys, time
        from pathlib import Path
        from MeWMLib.core.locks import writing
        with writing(Path(sys.argv[1])):
            print("holding", flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment())
    assert process.stdout is not None and process.stdout.readline() == "holding\n"
    return process


def test_another_process_is_refused_until_the_first_is_gone(tmp_path):
    out = tmp_path / "plan"
    process = holder(out)
    try:
        with pytest.raises(OutputError, match="Another run is writing to the same folder"), writing(out):
            raise AssertionError("two writers")
        assert out.is_dir(), "who is refused takes nothing away"
    finally:
        process.kill()
        process.communicate()
    # killed: the file is still there, and nobody holds it
    assert (out / LOCK).exists()
    with writing(out):
        pass
    assert list(out.iterdir()) == []


def test_files_of_one_folder_do_not_hinder_one_another(tmp_path):
    with writing(tmp_path / "a.nrrd", ()), writing(tmp_path / "b.nrrd", ()):
        with pytest.raises(OutputError, match="the same file"), writing(tmp_path / "a.nrrd", ()):
            raise AssertionError("two writers")
    assert list(tmp_path.iterdir()) == []


def test_half_written_files_are_cleared_and_others_stay(tmp_path):
    half = [".0123abcd.simulated_01.nrrd", "..0123abcd.pre.nrrd"]
    others = ["plan.json", ".0123abcg.x", ".hidden", ".mewm-journal.jsonl", "0123abcd.nrrd"]
    for name in (*half, *others):
        (tmp_path / name).write_text("x")
    with writing(tmp_path):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(others)


def test_of_a_file_only_its_own_halves_are_cleared(tmp_path):
    for name in (".0123abcd.a.json", ".0123abcd.a.png", ".0123abcd.a2.json"):
        (tmp_path / name).write_text("x")
    with writing(tmp_path / "a.json", [tmp_path / "a.png"]):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [".0123abcd.a2.json"]


def test_folders_that_were_made_and_stay_empty_are_removed(tmp_path):
    with writing(tmp_path / "deep" / "er"):
        assert (tmp_path / "deep" / "er" / LOCK).exists()
    assert list(tmp_path.iterdir()) == []
    with writing(tmp_path / "deep" / "er"):
        (tmp_path / "deep" / "er" / "plan.json").write_text("{}")
    assert (tmp_path / "deep" / "er" / "plan.json").exists()


def test_what_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError), writing(tmp_path / "file" / "plan"):
        raise AssertionError("nothing can be there")
    with pytest.raises(OutputError):
        FileLock(tmp_path / "absent" / "lock").acquire()


def test_a_lock_can_be_taken_again(tmp_path):
    first, second = FileLock(tmp_path / "l"), FileLock(tmp_path / "l")
    assert first.acquire() and not second.acquire()
    first.release()
    first.release()
    assert second.acquire()
    second.release()
    assert not (tmp_path / "l").exists()
