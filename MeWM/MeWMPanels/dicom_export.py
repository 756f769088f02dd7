"""A comparison as DICOM objects: nodes back to a plan folder, then `python -m MeWMLib.exchange` in its own process."""

import shutil
from functools import partial
from html import escape
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.core.errors import DependencyError, output_error
from MeWMLib.jobs.runner import LocalRunner
from MeWMPanels import install
from MeWMPanels.reports import HeldComparison, folder_in


def export(front, parent, then):
    """Ask where to and whose study it is, and write the comparison that is shown there; `then` is given a text of it.

    Args:
        front: of the module.
        parent: of the dialogs.
        then: called on Qt's thread with HTML that says what was written.
    """
    comparison = front.comparison
    absent = install.missing(install.FOR_DICOM)
    if absent:
        raise DependencyError(
            what=_("Writing DICOM needs packages that are not installed"),
            given=", ".join(absent),
            remedy=_("Press Install packages... in the panel Setup"),
        )
    scene_file = slicer.mrmlScene.GetURL()
    start = str(Path(scene_file).parent) if scene_file else slicer.app.temporaryPath
    chosen = qt.QFileDialog.getExistingDirectory(parent, _("Folder for the DICOM objects"), start)
    if not chosen:
        return
    reference = ""
    question = _(
        "Shall the objects belong to the study of the CT?\n\n"
        "Yes: you choose the folder of its DICOM next. The objects then carry the name, the id and the dates of the "
        "patient, as the CT does: keep them as you keep the CT.\n\n"
        "No: patient and study are made up, and say so."
    )
    if slicer.util.confirmYesNoDisplay(question, windowTitle="MeWM"):
        reference = qt.QFileDialog.getExistingDirectory(parent, _("Folder of the DICOM of the CT"), start)
        if not reference:
            return
    folder = folder_in(chosen, f"DICOM {comparison.id}")
    front.tasks.follow(partial(_steps, comparison, folder, reference, then))


def command(python, work, out, reference):
    """What makes DICOM objects from a plan folder."""
    more = ["--reference", reference] if reference else []
    return [python, "-m", "MeWMLib.exchange", str(work), "--out", str(out), *more]


def _steps(comparison, folder, reference, then, tasks):
    held = HeldComparison(comparison)
    tasks.desk.begin(_("Writing DICOM"))
    work = tasks.new_folder()
    plan, made = work / "plan", work / "dicom"
    plan.mkdir()
    yield partial(tasks.desk.aside, partial(held.write, plan))
    # on this computer, wherever jobs run, and ended at once by Cancel: what is not whole stays in our own folder
    runner = LocalRunner(command(tasks.python(), plan, made, reference), grace_s=0.0)
    result = yield partial(tasks.desk.run, None, runner=runner)
    yield partial(tasks.desk.aside, partial(_moved, made, folder))
    for note in result["notes"]:
        tasks.desk.say(note)
    tasks.desk.say(_("DICOM was written: {path}").format(path=folder))
    link = escape(qt.QUrl.fromLocalFile(str(folder)).toString())
    anchor = f'<a href="{link}">{escape(str(folder))}</a>'
    text = _("{n} DICOM objects: {link}").format(n=result["objects"], link=anchor)
    then("<br>".join([text, *map(escape, result["notes"])]))


def _moved(made, folder):
    """Move what was made into the user's folder, whole or not at all.

    Raises:
        OutputError: it cannot be written there.
    """
    try:
        shutil.move(made, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise output_error(error, folder) from error
