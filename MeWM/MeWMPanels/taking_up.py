"""A job that was left is followed to its end, and shown as if nothing had been in between.

It is shown on the CT that it was computed from, and on no other: on that of the scene whose voxels and grid are the
same, else on the job's own copy, which is added.
"""

import contextlib
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MeWMLib.core import io
from MeWMLib.core.errors import MeWMError, OutputError
from MeWMLib.core.locks import writing
from MeWMLib.core.plan_folder import PLAN
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.wire import Address
from MeWMLib.scene.nodes import hold_volume, image_of_array, volume_to_node
from MeWMLib.scene.origin import Origin
from MeWMLib.scene.segmentations import labels_to_segmentation, prepare_labels
from MeWMPanels import case_files, planning, results
from MeWMPanels.left_jobs import paths_of
from MeWMPanels.origin import Judged, times
from MeWMPanels.parameters import clinical_json, fill_clinical, forget_clinical
from MeWMPanels.server_section import client_of
from MeWMPanels.words import job_title

#: Longer than a worker lives whose parent died.
_LAST_WORKER_S = 60.0


@dataclass(frozen=True, eq=False)
class _Found:
    """What a job was computed from.

    Attributes:
        volume: the CT; labels: on its grid, or None where the job looks for them.
        post: the CT after treatment, or None.
        ct_id: of the node in the scene that holds the CT, or None.
        drawn: the chosen segmentation holds the labels.
        ready: what was prepared for new nodes, by name.
    """

    volume: object
    labels: object
    post: object
    ct_id: str | None
    drawn: bool
    ready: dict


def steps(front, left, tasks):
    """The steps of the task; `left` is a `left_jobs.LeftJob`."""
    scene, desk = slicer.mrmlScene, front.desk
    if left.place:
        front.setup.server.agree(Address.parse(left.place))
    cts = _held_cts(front.parameters)
    try:
        drawn = case_files.hold_labels(front.parameters)
    except MeWMError:
        drawn = None
    desk.begin(_("Taking up: {what}").format(what=job_title(left.job.kind)))
    tasks.folders.adopt(paths_of(left.job))
    found = yield partial(desk.aside, partial(_find, left, cts, drawn))
    ct = _chosen_ct(front, left, found, scene)
    segmentation = _chosen_segments(front, found, ct)
    parameters, origin = front.parameters, Origin.from_text(left.about["origin"])
    case = case_files.Case(found.volume, found.labels, left.job.inputs, origin)
    if found.labels is not None:
        tasks.watch.know(times(parameters), origin)
    tasks.note |= {key: value for key, value in left.about.items() if key != "app"}
    run = partial(_run, front, tasks, left)
    yield from _FOLLOWING[left.job.kind](front, tasks, left, run, case, (ct.GetID(), segmentation, found.post))


def _held_cts(parameters):
    """The scans of the scene by id, the chosen one first; those that cannot be used as a CT are left out."""
    held = {}
    nodes = planning.possible_cts(slicer.mrmlScene)
    for node in sorted(nodes, key=lambda node: node is not parameters.ct):
        try:
            held[node.GetID()] = hold_volume(node)
        except MeWMError:
            continue
    return held


def _find(left, cts, drawn):
    """Read what the job was computed from, on a thread, and look for it in the scene."""
    inputs, wanted = left.job.inputs, Origin.from_text(left.about["origin"])
    copy, outlined, after = (Path(str(inputs[key])) if inputs.get(key) else None for key in ("case", "labels", "post"))
    ct_id = volume = labels = None
    for node_id, held in cts.items():
        try:
            there = held.read()
        except MeWMError:
            continue
        if Origin.of(there).same_ct(wanted):
            ct_id, volume = node_id, there
            break
    if copy.is_file():
        volume = io.read_volume(copy)
    if volume is None:
        raise case_files.NoCTError(
            what=_("The CT of this job is not in the scene, and the copy of it is gone"),
            given=left.about.get("ct", ""),
            remedy=_("Load that CT, then take the job up again"),
        )
    same = False
    if outlined is not None:
        there = drawn.read(volume.geometry) if drawn is not None else None
        same = there is not None and Origin.of(volume, there).labels == wanted.labels
        if not same and not outlined.is_file():
            raise case_files.NoSegmentationError(
                what=_("The segmentation of this job is not the chosen one, and the copy of it is gone"),
                given=left.about.get("ct", ""),
                remedy=_("Choose the segmentation that it was begun with, then take the job up again"),
            )
        labels = there if same else io.read_labels(outlined, volume.geometry)
    _write_again(left, volume, labels)
    _wait_for_the_last_worker(left)
    ready = {"ct": None if ct_id else image_of_array(volume.array)}
    if labels is not None and not same:
        ready["labels"] = prepare_labels(labels)
    post = io.read_volume(after) if after is not None and after.is_file() else None
    return _Found(volume, labels, post, ct_id, same, ready)


def _write_again(left, volume, labels):
    """Where a restart of the computer has emptied the temporary folder: the files that a job here reads."""
    if left.job.out:
        Path(left.job.out).parent.mkdir(parents=True, exist_ok=True)
    copy, outlined = Path(left.job.inputs["case"]), left.job.inputs.get("labels")
    if left.known.row.far_id or copy.is_file():
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    io.write_volume(volume, copy)
    if outlined and labels is not None:
        io.write_labels(labels, Path(outlined))


def _wait_for_the_last_worker(left):
    """The worker of a Slicer that was killed saves what it has, and may still be at it."""
    output = kind_of(left.job.kind).output
    if left.place or output is None or not left.job.out:
        return
    out, until = Path(left.job.out), time.monotonic() + _LAST_WORKER_S
    beside = None if output.is_folder else output.beside_of(out).values()
    while time.monotonic() < until:
        with contextlib.suppress(OutputError), writing(out, beside):
            return
        time.sleep(0.2)


def _chosen_ct(front, left, found, scene):
    """Choose the CT of the job, added where the scene does not hold it, with what is known of its patient."""
    parameters, inputs = front.parameters, left.job.inputs
    ct = scene.GetNodeByID(found.ct_id) if found.ct_id else None
    if ct is None:
        ct = volume_to_node(scene, found.volume, left.about.get("ct", "CT"), found.ready["ct"])
        front.desk.say(_("The CT of the job is not in the scene: the job's own copy was added"))
    if parameters.ct is not ct:
        # those of another patient
        forget_clinical(parameters.clinical)
        parameters.exploration.goal = parameters.exploration.accepted_goal = ""
        parameters.ct = ct
        front.follow_ct()
        parameters.phase = found.volume.phase
    if not clinical_json(parameters.clinical) and not parameters.exploration.goal.strip():
        fill_clinical(parameters.clinical, inputs.get("clinical") or {})
        parameters.exploration.goal = inputs.get("goal") or ""
        if inputs.get("accept_goal"):
            parameters.exploration.accepted_goal = parameters.exploration.goal
    return ct


def _chosen_segments(front, found, ct):
    """Choose the segmentation of the job, added where it is not the chosen one; its id, or None."""
    parameters = front.parameters
    if found.labels is None:
        return None
    if not found.drawn:
        name = _("Liver and tumour ({name}MeWM)").format(name=f"{ct.GetName()} ")
        node = labels_to_segmentation(slicer.mrmlScene, found.ready["labels"], name, ct)
        parameters.segmentation = node
        parameters.liver_segment, parameters.tumour_segment = "liver", "tumour"
    return parameters.segmentation.GetID()


def _run(front, tasks, left, job, on_event=None):
    """A step: a job of the task, on the same computer as before; the one that was left is taken up, once."""
    known = {entry.name for entry in kind_of(job.kind).inputs}
    job = replace(job, inputs={**job.inputs, **{name: True for name in tasks.accepting if name in known}})
    if left.place:
        from MeWMLib.jobs.remote import RemoteRunner

        runner = RemoteRunner(client_of(Address.parse(left.place)))
    else:
        runner = front.desk.warm.runner()
    if job.out == left.job.out and not left.used:
        left.used = True
        runner.take_up(left.known)
    return partial(front.desk.run, job, on_event=on_event, runner=runner, about={**left.about, **tasks.note})


def _explored(front, tasks, left, run, case, _nodes):
    source, out = _source(front, case), Path(left.job.out)
    tasks.look_for_candidates(out)
    yield run(left.job, partial(tasks.tell_candidates, out))
    yield from tasks.tell_all_candidates(out)
    yield from tasks.show([out], case, source)


def _simulated(front, tasks, left, run, case, _nodes):
    """Those before it are done, those after it are begun."""
    source, folder = _source(front, case), Path(left.job.out).parent
    plans = []
    for number, (name, text) in enumerate(left.about["named"], start=1):
        plans.append(folder / f"protocol-{number}")
        tasks.note["number"] = number
        if number < left.about["number"] and (plans[-1] / PLAN).is_file():
            continue
        front.desk.say(f"{name}: {text}")
        yield run(replace(left.job, inputs={**left.job.inputs, "protocol": text}, out=str(plans[-1])))
    yield from tasks.show(plans, case, source)


def _source(front, case):
    parameters = front.parameters
    segments = (parameters.liver_segment, parameters.tumour_segment)
    source = results.Source(parameters.ct, parameters.segmentation, segments)
    source.origin = case.origin
    return source


def _outlined(front, tasks, left, run, case, nodes):
    parameters, ct_id = front.parameters, nodes[0]
    yield run(left.job)
    told = (clinical_json(parameters.clinical), parameters.exploration.goal)
    whole = left.about.get("whole")
    again = partial(tasks.follow, partial(planning.steps, front)) if whole else tasks.measure
    yield from tasks.outlined(Path(left.job.out), case.volume, ct_id, told, again)
    if whole:
        yield from planning.last_steps(front, tasks, ct_id)


def _measured(front, tasks, left, run, case, nodes):
    seen = times(front.parameters)
    result = yield run(left.job)
    tasks.keep(result, case, seen)
    if left.about.get("whole"):
        yield from planning.last_steps(front, tasks, nodes[0])


def _assessed(front, tasks, left, run, case, nodes):
    parameters, post = front.parameters, nodes[2]
    if parameters.post_ct is None and post is not None:
        name = _("CT after treatment of {name}").format(name=parameters.ct.GetName())
        parameters.post_ct = volume_to_node(slicer.mrmlScene, post, name)
    judged = Judged(parameters)
    judged.origin = case.origin
    front.outcome.show_assessment((yield run(left.job)), judged)


_FOLLOWING = {
    "plan": _explored,
    "simulate": _simulated,
    "segment": _outlined,
    "propose": _measured,
    "assess": _assessed,
}
