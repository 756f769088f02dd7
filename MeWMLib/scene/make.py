"""From a plan directory to its pictures, `report.html` and `scene.mrb`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MeWMLib.core.io import atomic_path
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.scene.annotate import png_bytes
from MeWMLib.scene.charts import tree_chart
from MeWMLib.scene.core_app import SlicerCore
from MeWMLib.scene.gl import DRIVER_PACKAGES, gl_available
from MeWMLib.scene.mrb import write_mrb
from MeWMLib.scene.origin import Origin
from MeWMLib.scene.pictures import Progress, make_pictures
from MeWMLib.scene.plan_nodes import add_plan
from MeWMLib.scene.report import write_report

PICTURES, TREE = "pictures", "search_tree"
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


def make(directory: Path, progress: Progress, *, scene: bool = True, report: bool = True) -> Made:
    """Make what a person looks at from a finished plan.

    Args:
        directory: the plan directory; the results are written into it.
        progress: called with the finished share of the whole (0 to 1) and a message.
        scene: write `scene.mrb`.
        report: write `report.html` and the pictures.

    Raises:
        MeWMError: the plan cannot be read, or a result cannot be written.
    """
    progress(0.0, "Reading the plan")
    folder = PlanFolder(directory)
    document = folder.read(verify="plan")  # report and scene are made anew
    plan = document.plan
    before, labels = folder.read_before(document)
    simulated = folder.read_kept(document, before, deviations=1)  # the deviation of the best one alone is shown
    files: list[str] = []
    notes: list[str] = [] if simulated else [NO_SIMULATION_NOTE]
    if report:
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
                document.target_centre,
            )
        images = {picture.name: png_bytes(picture.pixels) for picture in pictures}
        tree = tree_chart(plan.tree, plan.best.protocol if plan.best else None)
        if tree is not None:
            images[TREE] = tree
        for name, image in images.items():
            files.append(f"{PICTURES}/{name}.png")
            with atomic_path(directory / files[-1]) as temporary:
                temporary.write_bytes(image)
        progress(0.55, "Writing the report")
        write_report(directory / "report.html", document, pictures, notes, scene)
        files.append("report.html")
    if scene:
        progress(0.65, "Writing the scene for 3D Slicer")
        with SlicerCore() as core:
            add_plan(core.scene, document, before, labels, simulated, Origin.of(before, labels))
            write_mrb(core.scene, directory / "scene.mrb")
        files.append("scene.mrb")
    folder.record_made(files)
    progress(1.0, "Done")
    return Made(tuple(files), tuple(notes))
