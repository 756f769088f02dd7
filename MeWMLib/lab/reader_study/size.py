"""How many patients or cases a study needs.

The paper's claim (F1 of physicians from 48.81 to 61.51 with MeWM on its own data, 12.70 points; from 71.43 to 80.00 on
the public ones) is the default gain of a planning study.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt

from scipy import stats

from MeWMLib.core.errors import StudyError
from MeWMLib.lab.reader_study.statistics import share

#: Gain in F1 that the paper tells of, and deviations of the patients' differences for which a size is listed.
PAPER_GAIN, DEVIATIONS = 0.127, (0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
MOST = 100_000


def power(patients: int, gain: float, deviation: float, alpha: float = 0.05) -> float:
    """Power of a paired t test, two-sided: by the noncentral t distribution with `patients` - 1 degrees of freedom."""
    if patients < 2:
        return 0.0
    critical = float(stats.t.isf(alpha / 2, patients - 1))
    shift = gain * sqrt(patients) / deviation
    above, below = stats.nct.sf(critical, patients - 1, shift), stats.nct.cdf(-critical, patients - 1, shift)
    # where next to nothing is left below, scipy (1.17) may give NaN, as for 49 degrees of freedom and a shift of 40
    return float(above + (below if isfinite(below) else 0.0))


def patients_needed(gain: float, deviation: float, wanted: float = 0.8, alpha: float = 0.05) -> int:
    """The fewest patients with which a paired t test has the wanted power.

    Args:
        gain: mean of the patients' differences.
        deviation: their standard deviation.
        wanted: power.
        alpha: two-sided.

    Raises:
        StudyError: a number is impossible, or more than `MOST` patients would be needed.
    """
    if not (0 < alpha < 1 and 0 < wanted < 1 and deviation > 0 and gain != 0):
        raise StudyError(
            what="No size can be computed from these numbers",
            given=f"gain {gain:g}, deviation {deviation:g}, power {wanted:g}, alpha {alpha:g}",
            remedy="Gain is not 0, the deviation is above 0, power and alpha lie between 0 and 1",
        )
    low, high = 1, 2
    while power(high, abs(gain), deviation, alpha) < wanted:
        low, high = high, 2 * high
        if low > MOST:
            raise StudyError(what=f"More than {MOST} patients would be needed", given=f"gain {gain:g}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, abs(gain), deviation, alpha) >= wanted else (middle, high)
    return high


def cases_needed(rate: float, half_width: float) -> int:
    """The fewest cases with which the exact interval of a share is no wider than twice `half_width`.

    Args:
        rate: the share that is expected; 0.75 is the paper's specificity.
        half_width: of the interval.

    Raises:
        StudyError: a number is impossible.
    """
    if not (0 <= rate <= 1 and 0 < half_width < 0.5):
        raise StudyError(what="No size can be computed from these numbers", given=f"{rate:g} +- {half_width:g}")
    for n in range(1, MOST):
        found = share(round(rate * n), n)
        if found.high - found.low <= 2 * half_width:
            return n
    raise StudyError(what=f"More than {MOST} cases would be needed", given=f"{rate:g} +- {half_width:g}")


def size_lines(gain: float, deviations: Sequence[float], alpha: float = 0.05) -> list[str]:
    """Patients of a planning study, and cases of a study of pictures, for people."""
    lines = [f"Planning study, gain in F1 of {100 * gain:.1f} points, two-sided alpha {alpha:g}, paired t test:"]
    for deviation in deviations:
        few, many = (patients_needed(gain, deviation, wanted, alpha) for wanted in (0.8, 0.9))
        lines.append(f"  SD of the differences {deviation:.3g}: {few} patients for a power of 80 %, {many} for 90 %")
    lines.append("Study of pictures, exact interval of a specificity of 75 %:")
    for half in (0.2, 0.15, 0.1, 0.05):
        lines.append(f"  no wider than +- {100 * half:.0f} points: {cases_needed(0.75, half)} simulated cases a method")
    found = share(18, 24)
    lines.append(f"  the paper's 24 a method: 18 of 24 is 75 % ({100 * found.low:.0f} to {100 * found.high:.0f} %)")
    return lines
