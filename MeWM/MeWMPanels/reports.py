"""The report of a comparison: nodes back to a plan folder, then `python -m MeWMLib.scene` in a process of its own."""

import shutil
from dataclasses import replace
from pathlib import Path

from slicer.i18n import tr as _

from MeWMLib.core.errors import DependencyError, UnreadableFileError, output_error
from MeWMLib.core.plan_folder import PLAN, RUN, PlanFolder
from MeWMLib.scene.nodes import hold_volume
from MeWMLib.scene.segmentations import hold_segments
from MeWMPanels import install

REPORT, PICTURES = "report.html", "pictures"


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


def command(python, work):
    """What makes report and pictures from a plan folder."""
    return [python, "-m", "MeWMLib.scene", str(work), "--no-scene"]


def keep(work, folder):
    """Copy report, pictures and plan.json into the user's folder, which is made now; the volumes stay in `work`.

    Returns:
        The path of the report.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True)
        shutil.copytree(work / PICTURES, folder / PICTURES)
        for name in (PLAN, RUN):  # with the checksums of report and pictures
            shutil.copy2(work / name, folder)
        shutil.copy2(work / REPORT, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise output_error(error, folder) from error
    return folder / REPORT
