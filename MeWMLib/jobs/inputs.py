"""Read and check everything that a job was given, before a network is loaded or a file is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from MeWMLib.core import io
from MeWMLib.core.errors import InputError, NoTumourError, PlanSettingsError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.jobs.job import Job

SAMPLE_PREFIX = "sample:"
_CASE = ("case", "series", "labels", "resample_labels", "label_values", "clinical", "goal", "segment", "policy")
#: What a job of each kind understands. `clinical` is the JSON object itself, not a path.
KNOWN_INPUTS = {
    "segment": ("case", "series", "labels", "resample_labels", "label_values"),
    "propose": (*_CASE, "preview"),
    "plan": _CASE,
    "simulate": (*_CASE, "protocol"),
    "assess": (*_CASE, "post", "post_series", "post_labels"),
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "resample_labels": bool,
    "segment": bool,
    "clinical": dict,
}


@dataclass(frozen=True)
class Case:
    """What was given about one patient.

    Attributes:
        name: for people: "sample:NAME" or the base name of the file or folder; never a full path.
        id: opaque, from the voxels.
        ct: the CT.
        labels: labels that were given, by the user or with the sample, or None.
        labels_from: "user", "expert" (the sample's own) or "assistant" (none were given).
        labels_name: base name of the user's file, or "".
    """

    name: str
    id: str
    ct: Volume
    labels: LabelMap | None
    labels_from: str
    labels_name: str = ""


def check_inputs(job: Job) -> None:
    """Refuse unknown inputs and wrong types by name.

    Raises:
        InputError: see above, or there is no case.
    """
    known = KNOWN_INPUTS[job.kind]
    unknown = sorted(set(job.inputs) - set(known))
    if unknown:
        raise InputError(
            what=f"Unknown input of a {job.kind} job", given=", ".join(unknown), remedy="Known: " + ", ".join(known)
        )
    for name, value in job.inputs.items():
        wanted = _TYPES.get(name, str)
        if value is not None and not isinstance(value, wanted):
            raise InputError(what=f"The input {name} is of a wrong type", given=repr(value)[:80])
    if not job.inputs.get("case"):
        raise InputError(what="No case was given", remedy="Give a CT file, a DICOM folder or sample:NAME")


def plan_settings(job: Job) -> PlanSettings:
    """The settings of the job, checked; unknown ones are refused by name."""
    known = [f.name for f in fields(PlanSettings)]
    unknown = sorted(set(job.settings) - set(known))
    if unknown:
        raise PlanSettingsError(
            what="Unknown setting", given=", ".join(unknown), remedy="Known settings: " + ", ".join(known)
        )
    return PlanSettings(**job.settings)


def clinical_of(job: Job) -> Clinical:
    """The clinical data of the job; empty where none were given."""
    return Clinical.from_json(job.inputs.get("clinical") or {})


def protocol_of(job: Job) -> Protocol:
    """The protocol of a simulate job.

    Raises:
        InputError: none was given, or it is no protocol.
    """
    text = job.inputs.get("protocol")
    if not text:
        raise InputError(
            what="No protocol was given", remedy='Write it as in --protocol "Epirubicin 30 mg + Lipiodol 10 ml"'
        )
    return Protocol.parse(text)


def read_case(job: Job, load_sample: Callable[[str], Any]) -> Case:
    """Read the CT and, where given, the labels.

    Args:
        job: the job.
        load_sample: `cohorts.samples.load_sample`.

    Raises:
        MeWMError: anything that cannot be used; see `core.io`.
    """
    given, inputs = str(job.inputs["case"]), job.inputs
    labels, source, labels_name = None, "assistant", ""
    if given.startswith(SAMPLE_PREFIX):
        sample = load_sample(given[len(SAMPLE_PREFIX) :])
        name, ct = given, sample.ct
        if sample.labels is not None:
            labels, source = sample.labels, "expert"
    else:
        path = Path(given)
        name, ct = path.name or path.resolve().name, io.read_volume(path, series=inputs.get("series"))
    if inputs.get("labels"):
        labels_path = Path(inputs["labels"])
        labels = _read_labels(labels_path, ct, inputs)
        source, labels_name = "user", labels_path.name
    if labels is not None and job.kind != "segment" and not labels.tumour.any():
        raise NoTumourError(
            what="The labels hold no tumour",
            given=labels_name or name,
            remedy="Give labels with 2 for tumour (see --label-values), or leave --labels out to segment the CT",
        )
    return Case(name, opaque_id(ct), ct, labels, source, labels_name)


def _read_labels(path: Path, ct: Volume, inputs: dict[str, Any]) -> LabelMap:
    text = inputs.get("label_values")
    values = io.parse_label_values(text) if text else None
    return io.read_labels(path, ct.geometry, resample=bool(inputs.get("resample_labels")), values=values)


def read_post(job: Job) -> tuple[Volume, LabelMap | None]:
    """Read the post-treatment CT of an assess job and its labels, if given."""
    if not job.inputs.get("post"):
        raise InputError(what="No post-treatment CT was given", remedy="Give one with --post")
    ct = io.read_volume(Path(job.inputs["post"]), series=job.inputs.get("post_series"))
    labels = job.inputs.get("post_labels")
    return ct, _read_labels(Path(labels), ct, job.inputs) if labels else None


def opaque_id(ct: Volume) -> str:
    """An identifier from the voxels: the same for the same scan, and it says nothing about the person."""
    digest = hashlib.sha256(json.dumps([list(ct.array.shape), str(ct.array.dtype)]).encode())
    digest.update(ct.array.tobytes())
    return f"case-{digest.hexdigest()[:12]}"
