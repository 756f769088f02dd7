"""The folders in which the workers of a server are, and what a killed server left there: processes, jobs, rubbish."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from MeWMLib.core.errors import MeWMError, OutputError, output_error
from MeWMLib.core.living import lives
from MeWMLib.core.private_files import private
from MeWMLib.core.records import parse_json
from MeWMLib.jobs.store import emptied

SLOTS = "slots"
#: In the folder of the slots: it is ours, and everything in it may be removed.
_OURS = ".mewm-slots"
#: In the folder of a slot: where its worker has its temporary files.
TEMPORARY = "tmp"
#: What lies beside the folder of a slot, after its number: what it was confined by, its rules, the job that it does.
TOLD, RULES, ORDERS = ".worker.json", ".rules.json", ".orders"


def claim(root: Path) -> None:
    """Make the folder of the slots, or see that it is ours.

    Raises:
        OutputError: something else lies there, or it cannot be made.
    """
    slots = root / SLOTS
    try:
        slots.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (slots / _OURS).is_file():
            if any(slots.iterdir()):
                raise OutputError(
                    what="Something lies where the server would put what it works on",
                    given=str(slots),
                    remedy="Move it away, or give another --data",
                )
            private(slots / _OURS, "w").close()
    except OSError as error:
        raise output_error(error, slots) from error


def left_behind(root: Path) -> list[Path]:
    """What a former server left at work, its workers ended before: the paths of the parts of its jobs.

    There may have been more slots than there are now.
    """
    found: list[Path] = []
    for told in (root / SLOTS).glob(f"*{TOLD}"):
        with contextlib.suppress(OSError, MeWMError, KeyError, TypeError, ValueError):
            process = parse_json(told.read_bytes(), require={"process": dict})["process"]
            end_leftover(int(process["pid"]), float(process["born"]))
    for slot in (root / SLOTS).glob("*"):
        if slot.name.isdecimal():
            found += [path for path in slot.glob("*") if path.name != TEMPORARY]
    return found


def sweep_slots(root: Path) -> None:
    """Remove everything that is left in the folders of the slots."""
    for path in (root / SLOTS).glob("*"):
        if path.is_dir() and not path.is_symlink():
            emptied(path)


def end_leftover(pid: int, born: float) -> None:
    """End the process tree of a worker that a killed server left behind, if it is still the same process."""
    if not lives(pid, born):
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        victims = [*process.children(recursive=True), process]
        for victim in victims:
            with contextlib.suppress(psutil.Error):
                victim.kill()
        psutil.wait_procs(victims, timeout=5.0)
