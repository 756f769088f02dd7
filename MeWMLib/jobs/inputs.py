"""Read what a job was given: on this computer for the worker, or to send it to a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core import io, regions
from MeWMLib.core.errors import InputError, NoTumourError, PlanSettingsError, TerritoryError, UnreadableFileError
from MeWMLib.core.inputs_used import InputUsed, voxels_sha256
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import from_plain
from MeWMLib.core.targets import Targets
from MeWMLib.core.territory import Territory
from MeWMLib.core.volume import LIVER, Geometry, LabelMap, Volume
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.table import SAMPLE_PREFIX, Input, kind_of
from MeWMLib.perception import phase


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
        notes: what was left out of the labels that were given.
    """

    name: str
    id: str
    ct: Volume
    labels: LabelMap | None
    labels_from: str
    labels_name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def synthetic(self) -> bool:
        """True if the patient was drawn and is nobody; of a file that does not say so nothing is known."""
        return self.name.startswith(f"{SAMPLE_PREFIX}synthetic") or self.ct.simulated is not None

    @property
    def phase_by(self) -> str:
        """Who stated the contrast phase, where the scan came with one."""
        return "as the sample states it" if self.name.startswith(SAMPLE_PREFIX) else "as its file says"

    @property
    def has_liver(self) -> bool:
        """True if labels were given that hold liver."""
        return self.labels is not None and bool((self.labels.array == LIVER).any())


def require_there(job: Job, sample_info: Callable[[str], Any]) -> None:
    """Refuse a job whose files are missing or whose sample is unknown, before anything else is said of it.

    Args:
        job: with paths of this computer.
        sample_info: `cohorts.samples.sample_info`.

    Raises:
        UnreadableFileError: there is no such file or folder.
        SampleError: there is no such sample.
    """
    for entry in kind_of(job.kind).inputs:
        given = job.inputs.get(entry.name)
        if not given or entry.type not in _READ:
            continue
        if entry.type == "ct" and str(given).startswith(SAMPLE_PREFIX):
            sample_info(str(given).removeprefix(SAMPLE_PREFIX))
        elif not Path(given).exists():
            raise UnreadableFileError(what="There is no such file or folder", given=str(given), remedy="Check the path")


def plan_settings(job: Job) -> PlanSettings:
    """The settings of the job, checked; unknown ones are refused by name."""
    return from_plain(PlanSettings, job.settings, "the settings", PlanSettingsError)


def clinical_of(job: Job) -> Clinical:
    """The clinical data of the job; empty where none were given."""
    return Clinical.from_json(job.inputs.get("clinical") or {})


#: Types of inputs that are read as files.
_READ = ("ct", "labels", "region", "segments")
#: Inputs that hold a protocol of the user.
PROTOCOLS = ("protocol", "mine")


def protocol_of(job: Job) -> Protocol | None:
    """The protocol that the user of a job named; None where there is none."""
    text = next((job.inputs[name] for name in PROTOCOLS if job.inputs.get(name)), None)
    return Protocol.parse(text) if text else None


def territory_of(job: Job) -> Territory | None:
    """What the user of a job says is fed: by itself, with their protocol, or as a painted region.

    Raises:
        TerritoryError: it cannot be read, or two are named that are not the same.
    """
    text = str(job.inputs.get("territory") or "")
    stated = Territory.parse(text) if text else None
    protocol = protocol_of(job)
    within = protocol.territory if protocol is not None else None
    if stated is not None and within is not None and stated != within:
        raise TerritoryError(
            what="Two territories are named for one session",
            given=f"{stated.text}; with the protocol: {within.text}",
            remedy="Name the one that is fed, once",
        )
    found = stated or within
    return Territory.painted() if found is None and job.inputs.get("fed") else found


def targets_of(job: Job) -> Targets | None:
    """The lesions that the user of a job wants treated; None where they have not said it."""
    text = str(job.inputs.get("target") or "")
    return Targets.parse(text) if text else None


def read_fed(job: Job, grid: Geometry) -> NDArray[np.bool_] | None:
    """The painted region that is fed (K, J, I), on the grid of the CT; None where there is none.

    Raises:
        InputError: a segment is named and no file.
        MeWMError: as `core.regions.read_region`.
    """
    path, name = job.inputs.get("fed"), str(job.inputs.get("fed_segment") or "")
    if not path:
        if name:
            raise InputError(
                what="A segment is named, and no file with the painted region", given=name, remedy="Give it with --fed"
            )
        return None
    return regions.read_region(Path(path), grid, name)


def read_segments(job: Job, grid: Geometry) -> NDArray[np.uint8] | None:
    """Couinaud's segments that somebody drew, as `core.regions.read_segments`; None where no file was given."""
    path = job.inputs.get("segments")
    return regions.read_segments(Path(path), grid) if path else None


def read_case(job: Job, load_sample: Callable[[str], Any]) -> Case:
    """Read the CT and, where given, the labels.

    Args:
        job: the job.
        load_sample: `cohorts.samples.load_sample`.

    Raises:
        MeWMError: anything that cannot be used; see `core.io`.
    """
    kind, given = kind_of(job.kind), str(job.inputs["case"])
    labels, source, labels_name = None, "assistant", ""
    notes: list[str] = []
    if given.startswith(SAMPLE_PREFIX):
        sample = load_sample(given.removeprefix(SAMPLE_PREFIX))
        name, ct = given, sample.ct
        if sample.labels is not None:
            labels, source = sample.labels, "expert"
    else:
        name, ct = Path(given).name or Path(given).resolve().name, read_ct(job, kind.input("case"))
    if job.inputs.get("labels"):
        labels = read_labels(job, "labels", ct.geometry, notes)
        source, labels_name = "user", Path(job.inputs["labels"]).name
    if labels is not None and job.kind != "segment" and not labels.tumour.any():
        raise NoTumourError(
            what="The labels hold no tumour",
            given=labels_name or name,
            remedy="Give labels with 2 for tumour (see --label-values), or leave --labels out to segment the CT",
        )
    return Case(name, opaque_id(ct), ct, labels, source, labels_name, tuple(notes))


def read_ct(job: Job, entry: Input) -> Volume:
    """Read the CT of an input; the phase of one from DICOM is guessed from the image, as an import does.

    Raises:
        InputError: it is a simulated volume and no scan.
        MeWMError: as `core.io.read_volume`.
    """
    path = Path(job.inputs[entry.name])
    ct = _require_scan(phase.read_ct(path, series=job.inputs.get(entry.series)), entry, path.name)
    if path.name.lower().endswith(io.IMAGE_SUFFIXES) and path.is_file():
        return ct
    return replace(ct, phase=phase.guess_phase(ct).phase)


def _require_scan(ct: Volume, entry: Input, name: str) -> Volume:
    """Refuse what shows the outcome of a simulation; a patient who was drawn and not yet treated is let through."""
    if ct.simulated is None or (ct.simulated.untreated and entry.name == "case"):
        return ct
    which = "The scan after treatment" if entry.name == "post" else "The CT"
    remedy = "Give the scan before treatment that it was simulated from (in a plan folder: pre.nrrd)"
    if entry.name == "post":
        remedy = "Give a real CT; `mewm plan` and `mewm simulate` judge what they simulate themselves"
    raise InputError(
        what=f"{which} is a simulated one, and shows no patient",
        given=f"{name}, simulated after {ct.simulated.protocol}",
        remedy=remedy,
    )


def read_labels(job: Job, name: str, grid: Geometry, notes: list[str] | None = None) -> LabelMap:
    """Read the labels of an input onto the grid of their CT.

    Labels of the case that hold tumour alone are accepted: the segmenter gives the liver (`Task.labels`).

    Raises:
        InputError: they are those of a simulated outcome, as its file says.
        MeWMError: as `core.io.read_labels`.
    """
    path = Path(job.inputs[name])
    _require_drawn(path, name)
    text = job.inputs.get("label_values")
    values = io.parse_label_values(text) if text else None
    return io.read_labels(
        path,
        grid,
        resample=bool(job.inputs.get("resample_labels")),
        values=values,
        tumour_alone=name == "labels",
        notes=notes,
    )


def _require_drawn(path: Path, name: str) -> None:
    """Refuse the labels of a simulated outcome: they are nobody's, and show no patient."""
    made_by = io.labels_made_by(path)
    if made_by is None or made_by.untreated:
        return
    remedy = "Give those before treatment (in a plan folder: pre.seg.nrrd)"
    if name == "post_labels":
        remedy = "Give labels of the real CT, or leave --post-labels out: the segmenter outlines it"
    raise InputError(
        what="The labels are those of a simulated outcome, and show no patient",
        given=f"{path.name}, simulated after {made_by.protocol}",
        remedy=remedy,
    )


def read_post(job: Job, load_treated: Callable[[str], Any]) -> tuple[Volume, LabelMap | None]:
    """Read the post-treatment CT of an assess job and its labels, if given.

    Args:
        job: the job.
        load_treated: `cohorts.samples.load_treated`.

    Raises:
        SampleError: the sample that is named has no CT after treatment.
        MeWMError: as `read_ct` and `read_labels`.
    """
    given, known = str(job.inputs["post"]), None
    if given.startswith(SAMPLE_PREFIX):
        treated = load_treated(given.removeprefix(SAMPLE_PREFIX))
        ct, known = treated.ct, treated.labels
    else:
        ct = read_ct(job, kind_of(job.kind).input("post"))
    return ct, read_labels(job, "post_labels", ct.geometry) if job.inputs.get("post_labels") else known


def opaque_id(ct: Volume) -> str:
    """An identifier from the voxels: the same for the same scan, and it says nothing about the person."""
    return f"case-{voxels_sha256(ct)[:12]}"


def inputs_used(job: Job, **images: Volume) -> dict[str, InputUsed]:
    """The checksums of all files that a job was given, by the names of the inputs.

    Args:
        job: with paths of this computer.
        images: the CTs, as they were read.
    """
    found = {}
    for entry in kind_of(job.kind).inputs:
        given = job.inputs.get(entry.name)
        if given and entry.type in _READ:
            sample = str(given).startswith(SAMPLE_PREFIX)
            path = None if sample else Path(given)
            found[entry.name] = InputUsed.of(given if path is None else path.name, path, images.get(entry.name))
    return found


#: Types of inputs that say what was asked for, and hold no path and nothing of the patient.
_ASKED = ("text", "on", "off")


def asked_for(job: Job) -> dict[str, Any]:
    """What a job was asked for beside its files, for who repeats it; the goal and the clinical data stand elsewhere."""
    entries = [e.name for e in kind_of(job.kind).inputs if e.type in _ASKED and e.name != "goal"]
    return {name: job.inputs[name] for name in entries if job.inputs.get(name) is not None}
