"""From a plan directory to its pictures, `report.html` and `scene.mrb`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from MeWMLib.core.io import atomic_path
from MeWMLib.core.plan_folder import KeptCandidate, PlanDocument, PlanFolder
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.scene.core_app import SlicerCore
from MeWMLib.scene.gl import DRIVER_PACKAGES, gl_available
from MeWMLib.scene.mrb import write_mrb
from MeWMLib.scene.origin import Origin
from MeWMLib.scene.pictures import Progress, make_pictures
from MeWMLib.scene.plan_nodes import add_plan
from MeWMLib.scene.report import draw_charts, write_report
from MeWMLib.scene.viewer_pack import pack

PICTURES, TREE = "pictures", "tree"
NO_GL_NOTE = (
    "3D pictures were left out, since this machine has no OpenGL driver; the slices were made without one. "
    f"On Debian or Ubuntu these packages bring a driver: {' '.join(DRIVER_PACKAGES)}."
)
NO_SIMULATION_NOTE = "The plan holds no simulated volume, so only the CT before treatment is shown."


@dataclass(frozen=True)
class Made:
    """What was made: files relative to the plan directory, and notes on what was left out."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


def make(directory: Path, progress: Progress, *, scene: bool = True, report: bool = True, volumes: bool = True) -> Made:
    """Make what a person looks at from a finished plan.

    Args:
        directory: the plan directory; the results are written into it.
        progress: called with the finished share of the whole (0 to 1) and a message.
        scene: write `scene.mrb`.
        report: write `report.html` and the pictures.
        volumes: put the volumes into the report, for its viewer.

    Raises:
        MeWMError: the plan cannot be read, or a result cannot be written.
    """
    progress(0.0, "Reading the plan")
    folder = PlanFolder(directory)
    document = folder.read(verify="plan")  # report and scene are made anew
    before, labels = folder.read_before(document)
    # the deviation of the best one alone is in the scene, those of all are in the viewer
    simulated = folder.read_kept(document, before, deviations=None if report and volumes else 1)
    files: list[str] = []
    notes: list[str] = [] if simulated else [NO_SIMULATION_NOTE]
    if report:
        shown = [*simulated, *_own(folder, document, before)] if volumes else None
        files += _make_report(directory, document, before, labels, simulated, notes, scene, shown, progress)
    if scene:
        progress(0.65, "Writing the scene for 3D Slicer")
        with SlicerCore() as core:
            add_plan(core.scene, document, before, labels, simulated, Origin.of(before, labels))
            write_mrb(core.scene, directory / "scene.mrb")
        files.append("scene.mrb")
    folder.record_made(files)
    progress(1.0, "Done")
    return Made(tuple(files), tuple(notes))


def _make_report(
    directory: Path,
    document: PlanDocument,
    before: Volume,
    labels: LabelMap,
    simulated: Sequence[KeptCandidate],
    notes: list[str],
    scene: bool,
    shown: Sequence[KeptCandidate] | None,
    progress: Progress,
) -> list[str]:
    """Pictures and report; returns the files. What a missing driver leaves out is added to `notes`.

    Deflate runs without Python's lock: volumes are packed and pictures compressed beside the drawing.
    """
    near, plan = document.target_centre, document.plan
    with ThreadPoolExecutor(2) as pool:
        packing = None if shown is None else pool.submit(pack, before, labels, shown, near)
        gl = gl_available()
        if not gl:
            notes.append(NO_GL_NOTE)
        with SlicerCore() as core:
            pictures = make_pictures(
                core,
                before,
                labels,
                simulated,
                gl,
                lambda share, message: progress(0.1 + 0.4 * share, message),
                near,
            )
        compressing = [pool.submit(lambda one: one.png, picture) for picture in pictures]
        drawn = draw_charts(plan)
        images = {picture.name: done.result() for picture, done in zip(pictures, compressing, strict=True)}
        packed = None if packing is None else packing.result()
    if TREE in drawn:
        images["search_tree"] = drawn[TREE]
    files = []
    for name, image in images.items():
        files.append(f"{PICTURES}/{name}.png")
        with atomic_path(directory / files[-1]) as temporary:
            temporary.write_bytes(image)
    progress(0.55, "Writing the report")
    write_report(directory / "report.html", document, pictures, notes, scene, packed, drawn)
    return [*files, "report.html"]


def _own(folder: PlanFolder, document: PlanDocument, before: Volume) -> list[KeptCandidate]:
    """The user's own protocol beside the ranking, where its volumes were written."""
    if document.beside is None or not document.beside.mine.files:
        return []
    return [folder.read_candidate(document, document.beside.mine, before)]
