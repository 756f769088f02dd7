"""Response to treatment by the published criteria, from lesions that were measured before and after.

- RECIST 1.1: Eisenhauer et al., Eur J Cancer 2009;45:228.
- mRECIST for HCC: Lencioni and Llovet, Semin Liver Dis 2010;30:52.
- LI-RADS treatment response algorithm v2018: American College of Radiology, CT/MRI LI-RADS v2018, chapter 9.

Two scans are compared, so the scan before is the baseline and the smallest sum so far as well. Only the liver is read:
lymph nodes and lesions elsewhere are not. A criterion that cannot be judged has no category, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from MeWMLib.perception.response_lesions import (
    GONE,
    MERGED,
    NEW,
    NOT_COVERED,
    SPLIT,
    LesionMatch,
    MeasuredLesion,
    ScanLesions,
)

CR, PR, SD, PD = "CR", "PR", "SD", "PD"
#: Measurable: so large, and twice the distance of the slices where that is more than 5 mm; targets in one organ.
MEASURABLE_MM, THICK_SLICE_MM, MOST_TARGETS = 10.0, 5.0, 2
#: Limits of the change of the sum, percent, and the least growth in mm that RECIST 1.1 asks for.
PARTIAL_PERCENT, PROGRESS_PERCENT, PROGRESS_MM = -30.0, 20.0, 5.0
#: A new finding is a new lesion from this diameter on.
NEW_LESION_MM = 10.0
RECIST, MRECIST = "RECIST 1.1", "mRECIST"
VIABLE, EQUIVOCAL, NONVIABLE, NONEVALUABLE = "LR-TR Viable", "LR-TR Equivocal", "LR-TR Nonviable", "LR-TR Nonevaluable"
#: A piece that enhances is a nodule from this diameter on; one from `SPECK_MM` on is looked at.
NODULE_MM, SPECK_MM = 10.0, 5.0
#: Where so much of a lesion is hidden by oil, or beside it, that nothing enhances says little.
HIDDEN_SHARE = 0.5
ARTERIAL_ONLY = "viability is read in the arterial phase"
LIVER_ONLY = "only the liver was read: lymph nodes and lesions elsewhere are not part of it"
UNCONFIRMED = "the segmenter drew the outlines after treatment, and no reader has confirmed them"
#: Rounding of a sum of diameters, which must not decide at a limit.
_TINY = 1e-9


@dataclass(frozen=True)
class SizeResponse:
    """A response by diameters.

    Attributes:
        criterion: `RECIST` or `MRECIST`.
        category: "CR", "PR", "SD" or "PD"; None where it cannot be judged.
        reasons: why it is so, or why it cannot be judged; and what a reader has to add.
        targets: indices of the target lesions before treatment.
        before_mm, after_mm: sum of their diameters (viable ones in mRECIST); None where not known.
        percent: change of the sum.
    """

    criterion: str
    category: str | None
    reasons: tuple[str, ...]
    targets: tuple[int, ...] = ()
    before_mm: float | None = None
    after_mm: float | None = None
    percent: float | None = None


@dataclass(frozen=True)
class TreatedLesion:
    """LI-RADS treatment response of one treated lesion.

    Attributes:
        before, after: indices of the lesion in either scan.
        category: one of `VIABLE`, `EQUIVOCAL`, `NONVIABLE`, `NONEVALUABLE`.
        viable_mm: longest axial diameter of its largest enhancing piece; None where not evaluable.
        reasons: why.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    category: str
    viable_mm: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Response:
    """What became of the tumour.

    Attributes:
        before, after: the lesions of either scan.
        matches: which of them are the same.
        recist, mrecist: by diameters.
        lirads: of every lesion before treatment, in the order of `matches`.
    """

    before: ScanLesions
    after: ScanLesions
    matches: tuple[LesionMatch, ...]
    recist: SizeResponse
    mrecist: SizeResponse
    lirads: tuple[TreatedLesion, ...]


def response_of(before: ScanLesions, after: ScanLesions, matches: Sequence[LesionMatch]) -> Response:
    """Judge two scans by all criteria.

    Args:
        before, after: as `measure_lesions` gives them.
        matches: as `match_lesions` gives them.
    """
    matches = tuple(matches)
    lirads = tuple(_treated(match, before, after) for match in matches if match.before)
    return Response(before, after, matches, recist(before, after, matches), mrecist(before, after, matches), lirads)


def recist(before: ScanLesions, after: ScanLesions, matches: Sequence[LesionMatch]) -> SizeResponse:
    """RECIST 1.1 over up to two target lesions of the liver: the longest axial diameters of whole lesions."""
    least = _least_mm(before)
    targets = _targets(before, {one.index: one.diameter_mm for one in before.lesions}, least)
    if not targets:
        return _unjudged(RECIST, f"no lesion before treatment has a longest axial diameter of {least:g} mm")
    return _by_sums(RECIST, targets, before, after, matches, [one.diameter_mm for one in after.lesions])


def mrecist(before: ScanLesions, after: ScanLesions, matches: Sequence[LesionMatch]) -> SizeResponse:
    """mRECIST over up to two target lesions: the longest axial diameters of what is viable in the arterial phase."""
    for when, scan in (("before", before), ("after", after)):
        if scan.phase != "arterial":
            what = "of unknown phase" if scan.phase == "unknown" else scan.phase
            return _unjudged(MRECIST, f"{ARTERIAL_ONLY}, and the scan {when} treatment is {what}")
    least = _least_mm(before)
    viable = {one.index: min(one.viable_diameter_mm or 0.0, one.diameter_mm) for one in before.lesions}
    targets = _targets(before, viable, least)
    if not targets:
        return _unjudged(MRECIST, f"no lesion before treatment has a viable diameter of {least:g} mm")
    return _by_sums(MRECIST, targets, before, after, matches, [one.viable_diameter_mm or 0.0 for one in after.lesions])


def category_of(before_mm: float, after_mm: float, least_growth_mm: float = 0.0) -> str:
    """The category of a sum of diameters against that before treatment.

    Args:
        before_mm, after_mm: the sums; the one before is above 0.
        least_growth_mm: growth in mm that progression needs beside its 20 %.
    """
    if after_mm <= 0:
        return CR
    if after_mm <= (1 + PARTIAL_PERCENT / 100) * before_mm + _TINY:
        return PR
    grown = after_mm - before_mm
    if after_mm >= (1 + PROGRESS_PERCENT / 100) * before_mm - _TINY and grown >= least_growth_mm - _TINY:
        return PD
    return SD


def _by_sums(
    criterion: str,
    targets: tuple[int, ...],
    before: ScanLesions,
    after: ScanLesions,
    matches: Sequence[LesionMatch],
    diameters: Sequence[float],
) -> SizeResponse:
    """A response from the targets' sum before and the sum of what became of them."""
    mine = [match for match in matches if set(match.before) & set(targets)]
    hidden = [match for match in mine if match.kind == NOT_COVERED]
    if hidden:
        lost = ", ".join(str(n) for match in hidden for n in match.before)
        return SizeResponse(criterion, None, (f"the scan after treatment does not show target lesion {lost}",), targets)
    if after.doubt and any(match.kind == GONE for match in mine):
        return SizeResponse(criterion, None, (after.doubt,), targets)
    whole = criterion == RECIST
    first = sum(_diameter(before.lesion(n), whole) for n in targets)
    # a lesion after in which two targets have merged counts once; the parts of one that fell apart are added up
    parts = [_parts(match, targets, before, after, diameters, whole) for match in mine]
    second = sum(mm for mm, _ in parts)
    percent = 100.0 * (second / first - 1.0)
    category = category_of(first, second, PROGRESS_MM if whole else 0.0)
    reasons = [f"sum of {len(targets)} target lesion{'s'[:len(targets) > 1]} {first:.1f} to {second:.1f} mm "
               f"({percent:+.1f} %)"]  # fmt: skip
    reasons += [
        f"{_told(match)}{bounded}"
        for match, (_, bounded) in zip(mine, parts, strict=True)
        if match.kind in (MERGED, SPLIT, GONE)
    ]
    others = [match for match in matches if match.before and match not in mine and match.after]
    if category == CR and others:
        category = PR
        reasons.append(f"{len(others)} other lesions are still there, so that it is not complete")
    new = [n for match in matches if match.kind == NEW for n in match.after if diameters[n - 1] >= NEW_LESION_MM]
    if new:
        told = "new lesion " + ", ".join(f"{n} ({diameters[n - 1]:.0f} mm)" for n in new)
        if after.outlined_by_user:
            category = PD
            reasons.append(f"{told}: progression")
        else:
            reasons.append(f"{told} by the segmenter, not confirmed and not counted: progression if a reader confirms")
    if not after.outlined_by_user:
        reasons.append(UNCONFIRMED)
    return SizeResponse(criterion, category, (*reasons, LIVER_ONLY), targets, first, second, percent)


def _parts(
    match: LesionMatch,
    targets: Sequence[int],
    before: ScanLesions,
    after: ScanLesions,
    diameters: Sequence[float],
    whole: bool,
) -> tuple[float, str]:
    """Sum (mm) of what became of the targets of a match, and what is said of it where it is bounded.

    Pieces of one lesion are added up. Those of a lesion that shrank in place lie beside one another in its bed, and
    their diameters together may exceed its own though less tumour is left: such a sum is no growth.
    """
    found = sum(diameters[n - 1] for n in match.after)
    if len(match.after) < 2:
        return found, ""
    first = sum(_diameter(before.lesion(n), whole) for n in match.before if n in targets)
    volumes = [
        [one.volume_ml if whole or one.viable_ml is None else one.viable_ml for one in (scan.lesion(n) for n in mine)]
        for scan, mine in ((before, match.before), (after, match.after))
    ]
    if found <= first or sum(volumes[1]) >= sum(volumes[0]):
        return found, ""
    return first, (
        f", but to no more than {first:.1f} mm before treatment instead of {found:.1f} mm: together they are smaller, "
        f"{sum(volumes[0]):.1f} to {sum(volumes[1]):.1f} ml"
    )


def _diameter(lesion: MeasuredLesion, whole: bool) -> float:
    return lesion.diameter_mm if whole else min(lesion.viable_diameter_mm or 0.0, lesion.diameter_mm)


def _told(match: LesionMatch) -> str:
    mine, theirs = (", ".join(map(str, one)) for one in (match.before, match.after))
    # a bare number could be how many there are
    after = f"lesion{'s'[: len(match.after) > 1]} {theirs} of the scan after"
    return {
        MERGED: f"lesions {mine} have merged into {after}, "
        + ("measured as one" if len(match.after) == 1 else "added up"),
        SPLIT: f"lesion {mine} has fallen apart into {after}, which are added up",
        GONE: f"lesion {mine} is no longer seen",
    }[match.kind]


def _targets(before: ScanLesions, diameters: dict[int, float], least: float) -> tuple[int, ...]:
    """The largest by diameter that can be measured."""
    found = [n for n in sorted(diameters, key=lambda n: (-diameters[n], n)) if diameters[n] >= least - _TINY]
    return tuple(found[:MOST_TARGETS])


def _least_mm(scan: ScanLesions) -> float:
    return MEASURABLE_MM if scan.slice_mm <= THICK_SLICE_MM else 2 * scan.slice_mm


def _unjudged(criterion: str, why: str) -> SizeResponse:
    return SizeResponse(criterion, None, (why,))


def _treated(match: LesionMatch, before: ScanLesions, after: ScanLesions) -> TreatedLesion:
    """LI-RADS treatment response of a lesion from its arterial enhancement after treatment."""

    def told(category: str, mm: float | None, *reasons: str) -> TreatedLesion:
        return TreatedLesion(match.before, match.after, category, mm, reasons)

    if match.kind == NOT_COVERED:
        return told(NONEVALUABLE, None, "the scan after treatment does not show it")
    if after.phase != "arterial":
        what = "of unknown phase" if after.phase == "unknown" else after.phase
        return told(NONEVALUABLE, None, f"{ARTERIAL_ONLY}, and the scan after treatment is {what}")
    if match.kind == GONE and after.doubt:
        return told(NONEVALUABLE, None, after.doubt)
    if match.kind == GONE:
        return told(NONVIABLE, 0.0, "no lesion is seen where it was")
    mine = [after.lesion(n) for n in match.after]
    bright = max(one.bright_diameter_mm or 0.0 for one in mine)
    alive = max(one.viable_diameter_mm or 0.0 for one in mine)
    hidden = sum(one.hidden_share * one.volume_ml for one in mine) / sum(one.volume_ml for one in mine)
    if bright >= NODULE_MM:
        return told(VIABLE, bright, f"a piece of {bright:.0f} mm enhances more than the liver in the arterial phase")
    was = [before.lesion(n) for n in match.before]
    equal = before.phase == "arterial" and max(one.bright_diameter_mm or 0.0 for one in was) < NODULE_MM
    if alive >= NODULE_MM and equal:
        return told(
            VIABLE, alive, f"a piece of {alive:.0f} mm enhances as the lesion did before: no less than the liver"
        )
    if alive >= NODULE_MM:
        return told(EQUIVOCAL, alive, f"a piece of {alive:.0f} mm is as dense as the liver and no denser")
    if bright >= SPECK_MM:
        return told(EQUIVOCAL, bright, f"only a piece of {bright:.0f} mm enhances more than the liver")
    if hidden >= HIDDEN_SHARE:
        return told(EQUIVOCAL, alive, f"nothing enhances, but Lipiodol hides {100 * hidden:.0f} % of the lesion")
    return told(NONVIABLE, alive, "no piece of it enhances in the arterial phase")
