"""Start `python -m MeWMLib.scene`, which makes pictures, scene.mrb and report.html in a process of its own.

A plan is complete without them: whatever goes wrong there is said, and loses nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MeWMLib.cli.output import Output
from MeWMLib.jobs.job import Event
from MeWMLib.jobs.runner import child_environment, end_tree, own_group


def make(
    folder: Path, output: Output, *, report: bool = True, scene: bool = True, command: Sequence[str] | None = None
) -> bool:
    """Make the pictures of a plan.

    Args:
        folder: folder of the plan.
        output: where progress and notes go.
        report, scene: what to make; with neither nothing is started.
        command: what to start, for tests.

    Returns:
        True if all that was asked for was made.
    """
    if not report and not scene:
        return False
    flags = [flag for flag, wanted in (("--no-report", report), ("--no-scene", scene)) if not wanted]
    start = [*(command or [sys.executable, "-m", "MeWMLib.scene"]), str(folder), *flags]
    errors: deque[str] = deque(maxlen=20)
    try:
        process = subprocess.Popen(
            start,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            **own_group(),
        )
    except OSError as error:
        output.error(f"The plan is complete, but its pictures are missing: {error.strerror}.")
        return False
    assert process.stdout is not None and process.stderr is not None
    stderr = process.stderr

    def keep_errors() -> None:
        errors.extend(raw.decode("utf-8", "replace").rstrip() for raw in stderr)

    reader = threading.Thread(target=keep_errors, daemon=True)
    reader.start()
    done, problem = False, ""
    try:
        with output.progress() as progress:
            for raw in process.stdout:
                message = _message(raw)
                kind = message.get("event")
                if kind == "progress":
                    progress.on_event(_as_event(message))
                elif kind == "done":
                    done = True
                    for note in message.get("notes", []):
                        output.say(str(note))
                elif kind == "error":
                    problem = _problem(message)
        process.wait()
    finally:
        end_tree(process)
        reader.join(5.0)
        process.stdout.close()
        stderr.close()
    if done and not problem:
        return True
    problem = problem or f"the process of the pictures ended with {process.returncode}. " + " ".join(list(errors)[-3:])
    output.error(
        f"The plan is complete, but not all of its pictures could be made: {problem} "
        f"Try again with: python -m MeWMLib.scene {folder}"
    )
    return False


def _message(raw: bytes) -> dict[str, Any]:
    try:
        message = json.loads(raw)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _as_event(message: dict[str, Any]) -> Event:
    fraction = message.get("fraction")
    number = float(fraction) if isinstance(fraction, int | float) else 0.0
    return Event("progress", "pictures", min(1.0, max(0.0, number)), message=str(message.get("message", "")))


def _problem(message: dict[str, Any]) -> str:
    """The sentence in an error line of the scene, in the form of `MeWMError.to_json` or plain."""
    error = message.get("error") if isinstance(message.get("error"), dict) else message
    assert isinstance(error, dict)
    parts = [str(error[key]) for key in ("what", "given", "remedy", "message") if error.get(key)]
    return (". ".join(parts) or "no reason given").rstrip(".") + "."
