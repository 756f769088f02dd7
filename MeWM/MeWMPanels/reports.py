"""The report of a comparison: nodes back to a plan folder, then `python -m MeWMLib.scene` in a process of its own."""

import json
import shutil
import subprocess
import threading
from collections import deque
from dataclasses import replace
from pathlib import Path

from slicer.i18n import tr as _

from MeWMLib.core.errors import CancelledError, DependencyError, OutputError, UnreadableFileError, error_from_json
from MeWMLib.core.errors import output_error as as_output_error
from MeWMLib.core.plan_folder import PLAN, PlanFolder
from MeWMLib.jobs.runner import child_environment, end_tree, exit_error, own_group
from MeWMLib.scene.nodes import hold_volume
from MeWMLib.scene.segmentations import hold_segments
from MeWMPanels import install

REPORT, PICTURES = "report.html", "pictures"
POLL_S = 0.1


def folder_in(chosen, name):
    """The folder that a report goes into: a new one in the folder that the user chose."""
    number, folder = 1, Path(chosen) / f"MeWM report {name}"
    while folder.exists():
        number += 1
        folder = Path(chosen) / f"MeWM report {name} ({number})"
    return folder


class HeldComparison:
    """A comparison as it is now; `write` makes a plan folder of it, on a thread.

    Args:
        comparison: from `results`.

    Raises:
        DependencyError: a package that the report needs is missing.
        UnreadableFileError: the CT or its segmentation is no longer in the scene.
    """

    def __init__(self, comparison):
        absent = install.missing(install.FOR_REPORT)
        if absent:
            raise DependencyError(
                what=_("The report needs packages that are not installed"),
                given=", ".join(absent),
                remedy=_("Press Install packages... in the panel Setup"),
            )
        if comparison.ct is None or comparison.labels is None:
            raise UnreadableFileError(
                what=_("The CT or the segmentation of this comparison was deleted"),
                remedy=_("Simulate again with a CT and a segmentation that are in the scene"),
            )
        self._document = comparison.document
        self._ct = hold_volume(comparison.ct)
        self._labels = hold_segments(comparison.labels, *comparison.segments)
        self._kept = {}
        for rank, node in comparison.simulated_nodes.items():
            segments = comparison.node("labels", rank)
            if segments is not None:
                self._kept[rank] = (hold_volume(node), hold_segments(segments))
        sd = comparison.node("uncertainty")
        self._sd = (int(sd.GetAttribute("MeWM.Rank")), hold_volume(sd)) if sd is not None else (0, None)

    def write(self, folder):
        """Write plan.json and its volumes.

        Raises:
            OutputError: the folder cannot be written.
        """
        before, out = self._ct.read(), PlanFolder(folder)
        files = out.write_before(before, self._labels.read(before.geometry))
        candidates = []
        for candidate in self._document.plan.candidates:
            if candidate.rank in self._kept:
                volume, segments = self._kept[candidate.rank]
                sd = self._sd[1].read() if candidate.rank == self._sd[0] else None
                labels = segments.read(before.geometry)
                candidate = replace(candidate, files=out.write_kept(candidate.rank, volume.read(), labels, sd))
            candidates.append(candidate)
        plan = replace(self._document.plan, candidates=tuple(candidates))
        out.write(replace(self._document, plan=plan, files=files))


def write(held, work, folder, python, progress, stopped):
    """Write a report; runs on a thread.

    Args:
        held: a `HeldComparison`.
        work: folder for the volumes, which do not go into the report's own folder.
        folder: where report, pictures and plan.json go; made only when all of them are there.
        python: interpreter of the child process.
        progress: called with a fraction and a sentence, on this thread.
        stopped: polled; True ends the child.

    Returns:
        The path of the report.

    Raises:
        MeWMError: what the child reported, or the folder cannot be written.
        CancelledError: `stopped` answered True.
    """
    progress(0.0, _("Writing the volumes for the report"))
    held.write(work)
    _make([python, "-m", "MeWMLib.scene", str(work), "--no-scene"], progress, stopped)
    try:
        folder.mkdir(parents=True)
        shutil.copytree(work / PICTURES, folder / PICTURES)
        shutil.copy2(work / PLAN, folder)
        shutil.copy2(work / REPORT, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise as_output_error(error, folder) from error
    return folder / REPORT


def _make(command, progress, stopped):
    """Run the child and read its lines; its whole process tree is gone afterwards."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            **own_group(),
        )
    except OSError as error:
        raise OutputError(what=_("The report could not be started"), given=str(error)) from error
    lines, last_words = deque(), deque(maxlen=20)
    readers = [
        threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True),
        threading.Thread(target=last_words.extend, args=(process.stderr,), daemon=True),
    ]
    for reader in readers:
        reader.start()
    done, failed = False, None
    try:
        running = True
        while running or lines:
            # asked before the lines are read: what it wrote at its end is read in the last turn
            running = process.poll() is None or readers[0].is_alive()
            if stopped():
                raise CancelledError(what=_("The report was stopped"))
            while lines:
                message = _message(lines.popleft())
                if message.get("event") == "progress":
                    progress(min(1.0, max(0.0, float(message.get("fraction", 0.0)))), str(message.get("message", "")))
                elif message.get("event") == "error":
                    failed = error_from_json(message)
                elif message.get("event") == "done":
                    done = True
            if running:
                threading.Event().wait(POLL_S)
    finally:
        end_tree(process)
        for reader in readers:
            reader.join(5.0)
        process.stdout.close()
        process.stderr.close()
    if failed is not None:
        raise failed
    if not done:
        raise exit_error(process.returncode, b"".join(last_words).decode("utf-8", "replace"))


def _message(raw):
    try:
        message = json.loads(raw)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
