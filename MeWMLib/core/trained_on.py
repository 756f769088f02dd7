"""What the networks of a bundle were trained on, as its manifest says it, and whether a case lies within it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from MeWMLib.core.errors import BundleError
from MeWMLib.core.questions import WARNING, Question
from MeWMLib.core.volume import PHASES

Range = tuple[float, float]
#: Topics of the questions that say what lies outside begin so.
TOPIC = "limits-"
#: Ranges of a manifest, and where their values may lie.
_RANGES: dict[str, Range] = {
    "diameter_mm": (0, 1000),
    "lesions": (0, 10_000),
    "tumour_hu": (-1024, 3071),
    "pixel_mm": (0, 20),
    "slice_mm": (0, 20),
    "weeks": (0, 520),
}
_MARK = re.compile(r"[0-9a-f]{16}")
#: A value at the end of a range, rounded, still lies in it.
_SLACK = 0.01


@dataclass(frozen=True)
class Training:
    """The object `training` of a manifest; every field may be left out, and is then not compared.

    Attributes:
        synthetic_patients, real_pairs: how many there were: patients that were drawn, and real scans before and after.
        diameter_mm: lowest and highest longest axial diameter of a lesion.
        lesions: of the number of lesions of one patient.
        tumour_hu: of the mean density of a lesion before treatment.
        pixel_mm, slice_mm: of the edge of a pixel, and of the distance of two slices.
        phases: contrast phases of the scans, of `core.volume.PHASES`.
        weeks: from treatment to the scan after it.
        patient_marks: of patients of a cohort on disk whom it was trained on or chosen by
            (`cohorts.identity.patient_mark`); a test on them is refused.

    Raises:
        BundleError: a number below nothing, a range that is none, an unknown phase, or what is no mark.
    """

    synthetic_patients: int | None = None
    real_pairs: int | None = None
    diameter_mm: Range | None = None
    lesions: Range | None = None
    tumour_hu: Range | None = None
    pixel_mm: Range | None = None
    slice_mm: Range | None = None
    phases: tuple[str, ...] = ()
    weeks: Range | None = None
    patient_marks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("synthetic_patients", "real_pairs"):
            count = getattr(self, name)
            if count is not None and count < 0:
                _refuse(f"{name} = {count}")
        for name, (least, most) in _RANGES.items():
            found = getattr(self, name)
            if found is not None and not (all(map(math.isfinite, found)) and least <= found[0] <= found[1] <= most):
                _refuse(f"{name} = {list(found)}, where two rising numbers from {least:g} to {most:g} belong")
        unknown = sorted(set(self.phases) - set(PHASES))
        if unknown:
            _refuse(f"phases = {', '.join(unknown)}; known: {', '.join(PHASES)}")
        if wrong := [mark for mark in self.patient_marks if not _MARK.fullmatch(mark)]:
            _refuse(f"patient_marks = {wrong[0][:40]!r}, where marks of 16 hex digits belong")

    @property
    def patients(self) -> str:
        """Such as "synthetic patients and 2 real pairs"; "" where it is not said."""
        parts = []
        if self.synthetic_patients:
            parts.append(f"{self.synthetic_patients} synthetic patients")
        if self.real_pairs is not None:
            parts.append(f"{self.real_pairs or 'no'} real pair{'' if self.real_pairs == 1 else 's'} of scans")
        return " and ".join(parts)

    @property
    def text(self) -> str:
        """Everything in one line."""
        parts = [self.patients] if self.patients else []
        for name, what, unit in _WORDS:
            if (found := getattr(self, name)) is not None:
                parts.append(f"{what} {found[0]:g} to {found[1]:g}{unit}")
        if self.phases:
            parts.append(f"phases {', '.join(self.phases)}")
        if self.patient_marks:
            parts.append(f"{len(self.patient_marks)} patients of cohorts on disk")
        return "; ".join(parts)


#: A range in words: its field, what it is of, and the unit.
_WORDS = (
    ("diameter_mm", "lesions of", " mm"),
    ("lesions", "lesions of one patient", ""),
    ("tumour_hu", "mean density of a lesion", " HU"),
    ("pixel_mm", "pixels of", " mm"),
    ("slice_mm", "slices of", " mm"),
    ("weeks", "weeks after treatment", ""),
)


@dataclass(frozen=True)
class CaseFacts:
    """What of a case is compared.

    Attributes:
        diameters_mm, tumour_hu: longest axial diameter and mean density of each lesion that is treated.
        lesions: how many the patient has.
        phase: as the scan is simulated in.
        pixel_mm, slice_mm: of the scan.
        weeks: from treatment to the simulated scan; None where the dynamics model is not told them.
        synthetic: nobody's scan but a drawn one.
    """

    diameters_mm: Sequence[float]
    tumour_hu: Sequence[float]
    lesions: int
    phase: str
    pixel_mm: float
    slice_mm: float
    weeks: float | None
    synthetic: bool


def outside(training: Training | None, case: CaseFacts) -> tuple[Question, ...]:
    """What of a case lies outside of what a bundle was trained on, as warnings; nothing where the bundle is silent."""
    if training is None:
        return ()
    found = [
        *_beyond(training.diameter_mm, case.diameters_mm, "diameter", "longest axial diameter", "mm", 0),
        *_beyond(training.tumour_hu, case.tumour_hu, "density", "mean density", "HU", 0),
        *_beyond(training.lesions, [case.lesions], "lesions", "number of lesions", "", 0),
        *_beyond(training.pixel_mm, [case.pixel_mm], "pixel", "edge of a pixel", "mm", 2),
        *_beyond(training.slice_mm, [case.slice_mm], "slice", "distance of the slices", "mm", 2),
    ]
    if case.weeks is not None:
        found += _beyond(training.weeks, [case.weeks], "weeks", "time from treatment to the simulated scan", "weeks", 0)
    if training.phases and case.phase not in training.phases:
        what = "is not known" if case.phase == "unknown" else f"is {case.phase}"
        text = f"The contrast phase {what}; the networks were trained on {' and '.join(training.phases)} scans."
        found.append(Question(f"{TOPIC}phase", WARNING, _said(text)))
    if training.real_pairs == 0 and not case.synthetic:
        text = "No real scan after treatment was among what the networks were trained on."
        found.append(Question(f"{TOPIC}patients", WARNING, _said(text)))
    return tuple(found)


#: For values compared lesion by lesion: words for the largest and the smallest, and for lesions beyond each limit.
_ENDS = {
    "diameter": ("largest", "smallest", "larger than", "smaller than"),
    "density": ("densest", "least dense", "denser than", "less dense than"),
}


def _beyond(
    limits: Range | None, values: Sequence[float], topic: str, what: str, unit: str, digits: int
) -> list[Question]:
    """A question about values outside a range, the largest first: it stands for more tumour than specks."""
    if limits is None or not values:
        return []
    low, high = limits
    above = [v for v in values if v - high > _SLACK * max(abs(high), 1e-6)]
    below = [v for v in values if low - v > _SLACK * max(abs(low), 1e-6)]
    if not above and not below:
        return []
    unit = f" {unit}" if unit else ""
    value = max(above) if above else min(below)
    # rounding alone asks nothing, but what is counted is counted as in every other list of the lesions
    above, below = [v for v in values if v > high], [v for v in values if v < low]
    trained = f"(the bundle was trained on {low:g} to {high:g}{unit})"
    if len(values) == 1 or topic not in _ENDS:
        of = " of the lesion" if topic in _ENDS else ""
        text = f"The {what}{of} is {value:.{digits}f}{unit} {trained}"
    else:
        highest, lowest, larger, smaller = _ENDS[topic]
        text = f"The {what} of the {highest if above else lowest} lesion is {value:.{digits}f}{unit} {trained}"
        for beyond, than, end in ((above, larger, high), (below, smaller, low)):
            # of a single one at the end that is named, its number is all there is to say
            if beyond and not (len(beyond) == 1 and value in beyond):
                verb = "is" if len(beyond) == 1 else "are"
                text += f"; {len(beyond)} of {len(values)} lesions {verb} {than} {end:g}{unit}"
    numbers = {topic: value, "from": low, "to": high, "above": float(len(above)), "below": float(len(below))}
    return [Question(f"{TOPIC}{topic}", WARNING, _said(f"{text}."), numbers)]


def _said(text: str) -> str:
    return f"OUTSIDE of what the model was trained on: {text} What it simulates here was never tested."


def _refuse(problem: str) -> None:
    raise BundleError(what=f"What the manifest says of the training is not possible: {problem}")
