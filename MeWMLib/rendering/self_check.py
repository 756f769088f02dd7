"""A sample that is shown looks like a scan: its deposits are held against those of real scans, and it is drawn again.

The ranges come from two patients. A sample that leaves them is no proof of a wrong simulation, and one within them
none of a right one: the check keeps out what no scan shows, such as a tumour that is one bright clot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from MeWMLib.core.errors import InputError

T = TypeVar("T")
Range = tuple[float, float]

#: A statistic is near a range if it lies in it, or beside it by this share of its nearer end.
TOLERANCE = 0.25
#: What is judged of `perception.deposits.deposit_look`: lowest and highest value in `ORIGIN`, on native voxels
#: (docs/JUDGE.md). How much Lipiodol stays is what is simulated, and less of it is usual, so that shares and the
#: largest blob have an upper end only. How many blobs and how much that is dense are judged in proportion to it
#: (`in_proportion`); where there is little, fewer blobs touch and more are counted for each ml, so that their number
#: has a lower end only.
REAL_RANGES: Mapping[str, Range] = {
    "share_200_percent": (0.0, 16.3),
    "share_300_percent": (0.0, 5.32),
    "dense_of_lipiodol": (0.326, 0.463),
    "blobs_a_dense_ml": (8.45, np.inf),
    "diameter_50_mm": (2.28, 2.42),
    "diameter_95_mm": (7.75, 8.82),
    "diameter_max_mm": (0.0, 26.7),
    "hu_25": (342.0, 347.0),
    "hu_50": (407.0, 433.0),
    "hu_75": (533.0, 604.0),
    "hu_95": (856.0, 1110.0),
    "hu_99": (1180.0, 1680.0),
}
#: What has to be measured for that.
MEASURED = (*(n for n in REAL_RANGES if n not in ("dense_of_lipiodol", "blobs_a_dense_ml")), "blobs_per_100ml")
ORIGIN = "portal scans after treatment of HCC_004 and HCC_007 of HCC-TACE-Seg (n = 2), widened by 25 %"
#: Percent of the tumour at 200 HU and more below which there is no Lipiodol whose look could be judged.
LEAST_SHARE = 1.0
#: Draws at most.
ATTEMPTS = 3


@dataclass(frozen=True, eq=False)
class Checked(Generic[T]):
    """A sample that was drawn until it fits.

    Attributes:
        sample: the one to show: the first that fits, else the one that leaves the fewest ranges.
        attempt: which draw it is, from 0 on.
        outside: of every draw, the statistics that leave their range, with their values.
    """

    sample: T
    attempt: int
    outside: tuple[Mapping[str, float], ...]

    @property
    def attempts(self) -> int:
        """How many were drawn."""
        return len(self.outside)

    @property
    def fits(self) -> bool:
        """True if the sample to show leaves no range; else it has to be flagged."""
        return not self.outside[self.attempt]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready record of all draws, without the sample."""
        return {
            "attempts": self.attempts,
            "shown": self.attempt,
            "fits": self.fits,
            "outside": [{n: float(v) if np.isfinite(v) else None for n, v in one.items()} for one in self.outside],
            "ranges": ORIGIN,
        }


def near(value: float, low: float, high: float) -> bool:
    """True if a value lies in a range, or beside it by at most `TOLERANCE` of its nearer end."""
    return bool(low - TOLERANCE * abs(low) <= value <= high + TOLERANCE * abs(high))


def in_proportion(look: Mapping[str, float]) -> dict[str, float]:
    """A look with `dense_of_lipiodol`, the share of the voxels at 200 HU and more that have 300, and
    `blobs_a_dense_ml`, blobs for each ml of these; NaN where there are none.
    """
    dense = look["share_300_percent"]
    return {
        **look,
        "dense_of_lipiodol": dense / look["share_200_percent"],
        "blobs_a_dense_ml": look["blobs_per_100ml"] / dense if dense > 0 else float("nan"),
    }


def outside(look: Mapping[str, float], ranges: Mapping[str, Range] = REAL_RANGES) -> dict[str, float]:
    """The statistics of a sample that are not near the range of real scans, with their values.

    A tumour without Lipiodol (`LEAST_SHARE`) has none: whether Lipiodol stays is what is simulated, not how it looks.

    Args:
        look: `perception.deposits.deposit_look` of the sample.
        ranges: lowest and highest value of each statistic that counts, of those of `in_proportion`.

    Raises:
        InputError: a statistic was not measured.
    """
    missing = sorted({*MEASURED} - look.keys())
    if missing:
        raise InputError(
            what="A sample cannot be held against real scans",
            given=f"no {', '.join(missing)}",
            remedy="Measure it by deposit_look",
        )
    share = look["share_200_percent"]
    if not np.isfinite(share) or share < LEAST_SHARE:
        return {}
    known = in_proportion(look)
    # what cannot be measured, such as the size of blobs where there are none, is not near
    return {name: known[name] for name, (low, high) in ranges.items() if not near(known[name], low, high)}


def checked_sample(
    draw: Callable[[int], T],
    measure: Callable[[T], Mapping[str, float]],
    attempts: int = ATTEMPTS,
    ranges: Mapping[str, Range] = REAL_RANGES,
) -> Checked[T]:
    """Draw a sample until its look fits, `attempts` times at most.

    Args:
        draw: the sample of an attempt (0, 1, ...), the same for the same attempt.
        measure: its look, as `perception.deposits.deposit_look`.
        attempts: at most so many.
        ranges: of each statistic.

    Raises:
        InputError: no attempt is allowed, or `measure` leaves a statistic out.
    """
    if attempts < 1:
        raise InputError(
            what="A sample has to be drawn at least once", given=f"{attempts} attempts", remedy="Allow 1 or more"
        )
    found: list[Mapping[str, float]] = []
    best: T | None = None
    least, at = -1, 0
    for attempt in range(attempts):
        sample = draw(attempt)
        found.append(outside(measure(sample), ranges))
        if least < 0 or len(found[-1]) < least:
            best, least, at = sample, len(found[-1]), attempt
        if not least:
            break
    return Checked(best, at, tuple(found))  # type: ignore[arg-type]
