"""One patient of an import: series of several dates become the scan before and the scan after treatment.

Each stack of slices is read, checked and given a phase. A stack that fails is left out with a line; the others go on.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.clinical_table import ClinicalRecord
from MeWMLib.cohorts.dicom_seg import choose, masks_on, read_segmentation
from MeWMLib.cohorts.identity import is_judged
from MeWMLib.cohorts.layout import CohortCase, PatientRow
from MeWMLib.core.dicom.kinds import SECONDARY_CAPTURE
from MeWMLib.core.dicom.records import DicomObject, SliceRecord
from MeWMLib.core.dicom.scan import Scan
from MeWMLib.core.dicom.segmentation import Segmentation
from MeWMLib.core.dicom.series import PREFERRED_PHASES, with_suspects
from MeWMLib.core.dicom.stacks import LeftOut, Stack, number_key, stacks_of
from MeWMLib.core.errors import CohortError, MeWMError, OutputError
from MeWMLib.core.io import read_dicom_stack
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.findings import measure
from MeWMLib.perception.phase import PhaseGuess, guess_phase
from MeWMLib.perception.preprocess import COHORT_SPACING_MM, box_geometry, resample, resample_volume

GRIDS = ("cohort", "native")


@dataclass(eq=False)
class Found:
    """A stack that was read."""

    stack: Stack
    ct: Volume
    guess: PhaseGuess
    notes: list[str]
    segmentation: Segmentation | None
    used_as: str | None = None

    @property
    def phase(self) -> str:
        """Its contrast phase."""
        return self.guess.phase

    @property
    def rank(self) -> tuple[Any, ...]:
        """The highest of the scans of one phase is taken: masks count first, then how much it shows, then slices."""
        places = self.ct.geometry
        extent = places.shape[0] * places.spacing[0]
        return (
            self.segmentation is not None and not self.segmentation.automatic,
            self.segmentation is not None,
            round(min(self.guess.liver_ml, 200.0) / 100),
            round(min(extent, 300.0) / 50),
            -abs(places.spacing[0] - 2.5),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "series": self.stack.name,
            "used_as": self.used_as,
            "shape_kji": self.ct.geometry.shape,
            "spacing_mm": [round(step, 3) for step in self.ct.geometry.spacing],
            "phase": self.guess,
            "notes": self.notes,
        }


@dataclass(eq=False)
class Study:
    """All scans of one date. `date` is never written out; `days` counts from the scan before treatment."""

    date: str
    scans: list[Found]
    when: str = "not used"
    days: int | None = None

    def of_phase(self, phase: str) -> Found | None:
        """The best scan of a phase."""
        return max((s for s in self.scans if s.phase == phase), key=lambda s: s.rank, default=None)


@dataclass(eq=False)
class Imported:
    """A patient ready to be written.

    Attributes:
        row, case: as `layout.write_patient` takes them.
        more: for `patient.json`.
        volumes: other phases and masks of vessels by file name.
        centres: middle of the liver before and after, for pictures (RAS mm).
        left_out: lines.
    """

    row: PatientRow
    case: CohortCase
    more: dict[str, Any]
    volumes: dict[str, Volume | LabelMap]
    centres: tuple[Any, Any]
    left_out: list[LeftOut] = field(default_factory=list)


def reason_of(error: Exception) -> str:
    """What an error says, without paths, which may hold names."""
    if not isinstance(error, MeWMError):
        return f"could not be read ({type(error).__name__})"
    given = "" if os.sep in error.given or "\\" in error.given or "/" in error.given else error.given
    text = f"{error.what} ({given})" if given else error.what
    return text[0].lower() + text[1:] if text[:2] != "CT" else text


def import_patient(
    patient: str,
    files: Sequence[DicomObject],
    record: ClinicalRecord | None,
    grid: str,
    all_phases: bool,
    around: Scan | None = None,
) -> Imported:
    """Turn the files of one patient into a case.

    Args:
        patient: opaque id.
        files: all of the patient's, segmentations too.
        record: what is known besides the images.
        grid: "cohort" resamples to `COHORT_SPACING_MM`, "native" keeps the grid of the scanner.
        all_phases: keep the other phases of the two dates as well.
        around: the scan of the folder, for files that cannot be read beside the patient's.

    Raises:
        NoScanError: no usable scan before treatment.
    """
    known = record or ClinicalRecord()
    notes = list(known.notes)
    studies, left_out = _studies(files, around or Scan())
    before, after, note = pair([study for study in studies if study.scans], known.treated)
    notes += [note] if note else []
    if before is None:
        raise NoScanError(left_out)
    pre, post = _choose(before, after)
    if post is not None and post.phase != pre.phase:
        notes.append(f"the scans show different phases: {pre.phase} before, {post.phase} after")
    pre.used_as = "pre"
    ct, labels, vessels = _prepared(pre, grid, left_out)
    post_ct, post_labels = None, None
    if post is not None:
        post.used_as = "post"
        post_ct, post_labels, _ = _prepared(post, grid, left_out)
    volumes: dict[str, Volume | LabelMap] = {}
    if vessels is not None and vessels.any():
        volumes["pre_vessels.nrrd"] = LabelMap(vessels.astype(np.uint8), ct.geometry)
    if all_phases:
        volumes |= _other_phases(before, after, grid)
    case = CohortCase(ct, labels, post_ct, post_labels)
    return Imported(
        _row(patient, known, case, after, is_judged(patient, *(one.header.patient_id for one in files))),
        case,
        {
            "synthetic": False,
            "import": {
                "grid": grid,
                "studies": [{"when": s.when, "days": s.days, "scans": s.scans} for s in studies],
                "left_out": left_out,
                "notes": notes,
            },
            "clinical": record.to_json() if record else {},
        },
        volumes,
        (pre.guess.liver_centre_ras, post.guess.liver_centre_ras if post else None),
        left_out,
    )


class NoScanError(CohortError):
    """A patient without a usable scan before treatment; `lines` says what was left out."""

    def __init__(self, lines: Sequence[LeftOut]) -> None:
        super().__init__(what="no usable CT before treatment", remedy="See what was left out")
        self.lines = tuple(lines)


def _studies(files: Sequence[DicomObject], around: Scan) -> tuple[list[Study], list[LeftOut]]:
    """Read every stack of every date; studies come in the order of their dates, undated ones last."""
    lines: list[LeftOut] = []
    segmentations = []
    series: dict[tuple[str, str], list[SliceRecord]] = defaultdict(list)
    others: dict[tuple[str, str], list[DicomObject]] = defaultdict(list)
    for one in files:
        where = one.header.date or one.header.study, one.header.series
        if one.header.kind == "segmentation":
            try:
                segmentations.append(read_segmentation(one.header.path))
            except MeWMError as error:
                lines.append(LeftOut("a segmentation", reason_of(error)))
        elif one.header.kind == "image":
            others[where].append(one)
        else:
            series[where] += one.slices
    lines += [_no_ct(members) for _, members in sorted(others.items(), key=lambda item: item[0])]
    studies: dict[str, Study] = {}
    for (when, _), slices in sorted(
        series.items(), key=lambda item: (item[0][0], number_key(item[1][0].file.series_number))
    ):
        study = studies.setdefault(when, Study(slices[0].file.date, []))
        stacks, out = stacks_of(slices)
        lines += out
        for stack in stacks:
            stack = with_suspects(stack, around)
            if reason := stack.fault or stack.doubt:
                lines.append(LeftOut(stack.name, reason))
                continue
            try:
                study.scans.append(_read(stack, segmentations))
            except OutputError:
                raise
            except Exception as error:  # one bad series, whatever is wrong with it, does not end the import
                lines.append(LeftOut(stack.name, _without_names(reason_of(error), stack)))
    return sorted(studies.values(), key=lambda study: (not study.date, study.date)), lines


def _without_names(text: str, stack: Stack) -> str:
    """A reason without names of files, which may be those of people."""
    for name in sorted({one.file.path.name for one in stack.slices}, key=len, reverse=True):
        text = text.replace(name, "a file")
    return text


def _no_ct(members: Sequence[DicomObject]) -> LeftOut:
    """A line on a series of images that are no CT."""
    first, count = members[0].header, len(members)
    number = f"series {first.series_number}" if first.series_number else "a series without number"
    if first.sop_class.startswith(SECONDARY_CAPTURE):
        reason = "a secondary capture (picture of a screen), not a CT"
    else:
        reason = f"not a CT: the modality is {first.modality or 'not named'}"
    return LeftOut(f"{number}, {count} slice{'s' if count > 1 else ''}", reason)


def _read(stack: Stack, segmentations: Sequence[Segmentation]) -> Found:
    ct, lowest = read_dicom_stack(stack)
    notes = list(stack.notes)
    if lowest < -1024:
        notes.append(f"padding down to {lowest:.0f} HU became -1024")
    if any(one.file.lossy for one in stack.slices):
        notes.append("the slices went through lossy compression")
    thickness, step = stack.slices[0].thickness, ct.geometry.spacing[0]
    if thickness and not 0.5 <= step / thickness <= 2:
        notes.append(f"slices of {thickness:g} mm are {step:.3g} mm apart: the positions count, not SliceThickness")
    guess = guess_phase(ct)
    mine = choose(segmentations, stack)
    return Found(stack, replace(ct, phase=guess.phase), guess, notes, mine)


def pair(studies: Sequence[Study], treated: str | None) -> tuple[Study | None, Study | None, str]:
    """The study before and the study after treatment, and what has to be said about the choice.

    Args:
        studies: with at least one scan each, in the order of their dates; `when` and `days` are set.
        treated: date of treatment (YYYYMMDD), if known: the last study until then and the first one after it count.
            Without it the first two dates count.
    """
    dated = [study for study in studies if study.date]
    undated = len(studies) - len(dated)
    note = f"{undated} studies without a date cannot be put in order" if undated else ""
    if not dated:
        if len(studies) != 1:
            return None, None, note
        studies[0].when = "before"
        return studies[0], None, "the only study has no date; it was taken for the one before treatment"
    if treated:
        before = next((study for study in reversed(dated) if study.date <= treated), None)
        after = next((study for study in dated if study.date > treated), None)
        if before is None:
            return None, None, "every study is from after the treatment"
    else:
        before, after = dated[0], dated[1] if len(dated) > 1 else None
        if len(dated) > 2:
            note = f"{len(dated)} dates and no date of treatment: the first two were taken; {note}".rstrip("; ")
    before.when, before.days = "before", 0
    if after is None:
        return before, None, f"there is no study after treatment; {note}".rstrip("; ")
    after.when, after.days = "after", _days(before.date, after.date)
    return before, after, note


def _days(first: str, second: str) -> int | None:
    try:
        return (datetime.strptime(second, "%Y%m%d") - datetime.strptime(first, "%Y%m%d")).days
    except ValueError:  # a 31st of February
        return None


def _choose(before: Study, after: Study | None) -> tuple[Found, Found | None]:
    """Scans of one phase: that of the scan with masks, else the first of `PREFERRED_PHASES` that both dates have."""
    pre = max((s for s in before.scans if s.segmentation is not None), key=lambda s: s.rank, default=None)
    if pre is None:
        own = [p for p in PREFERRED_PHASES if before.of_phase(p)]
        shared = [p for p in own if p != "unknown" and (after is None or after.of_phase(p))]
        pre = before.of_phase((shared or own)[0])
        assert pre is not None
    if after is None:
        return pre, None
    return pre, next(found for p in (pre.phase, *PREFERRED_PHASES) if (found := after.of_phase(p)) is not None)


def _prepared(
    found: Found, grid: str, lines: list[LeftOut]
) -> tuple[Volume, LabelMap | None, NDArray[np.bool_] | None]:
    """The scan on the wanted grid with its masks, if it has some."""
    ct, labels, vessels = found.ct, None, None
    if found.segmentation is not None:
        try:
            labels, vessels = masks_on(found.segmentation, ct.geometry)
            if not found.segmentation.sources:
                found.notes.append("masks were matched by their place, since they name no slice")
            found.notes.append("masks drawn by a program" if found.segmentation.automatic else "masks drawn by people")
        except MeWMError as error:
            lines.append(LeftOut(f"the masks of {found.stack.name}", reason_of(error)))
    target = _target(ct, grid)
    if target is ct.geometry:
        return ct, labels, vessels
    if labels is not None and vessels is not None:
        labels = LabelMap(resample(labels.array, ct.geometry, target, "nearest", 0), target)
        vessels = resample(vessels, ct.geometry, target, "nearest", 0)
    return resample_volume(ct, target), labels, vessels


def _target(ct: Volume, grid: str) -> Geometry:
    """The grid that a scan is written on."""
    return ct.geometry if grid == "native" else box_geometry(ct.geometry, COHORT_SPACING_MM)


def _other_phases(before: Study, after: Study | None, grid: str) -> dict[str, Volume | LabelMap]:
    found: dict[str, Volume | LabelMap] = {}
    for name, study in (("pre", before), ("post", after)):
        for phase in PREFERRED_PHASES[:-1]:
            scan = study.of_phase(phase) if study else None
            if scan is not None and scan.used_as is None:
                scan.used_as = f"{name}_{phase}"
                found[f"{scan.used_as}.nrrd"] = resample_volume(scan.ct, _target(scan.ct, grid))
    return found


def _row(patient: str, record: ClinicalRecord, case: CohortCase, then: Study | None, judging: bool) -> PatientRow:
    post, labels, diameter = case.after, case.before_labels, None
    days = then.days if then else None
    since = _days(record.treated, then.date) if record.treated and then else None
    if labels is not None and labels.tumour.any():
        diameter = measure(case.before, labels, sizes_only=True).lesions[0].longest_axial_diameter_mm
    return PatientRow(
        patient,
        record.protocol.text if record.protocol else "",
        record.months,
        record.event,
        phase=case.before.phase,
        phase_after=post.phase if post else None,
        interval_days=float(days) if days is not None else None,
        has_after=post is not None,
        registered=False if post is not None else None,
        diameter_before_mm=diameter,
        weeks=round(since / 7, 2) if since is not None else None,
        judging=True if judging else None,
    )
