"""Version 3 of the law: the equations of version 2, and sizes that change more in some patients than in others.

Real changes of size have long tails: readers see partial responses and progressions by RECIST several times as often
as version 2 draws them, while the middle half of the patients agrees. So the logarithm of the volume that is left is
moved away from its middle by a factor of the patient's, whose median is 1. Everything else, and the middle, stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from MeWMLib.cohorts.synthetic.law import Response


@dataclass(frozen=True)
class Lability:
    """How much sizes differ from the middle in some patients.

    Of the pairs of constants on a grid around the fit (`lab.synthetic.response_classes --fit`), these reproduce the
    readers' classes best among those that make no distribution of changes worse than version 2.

    Attributes:
        middle: log-volume about which is stretched.
        spread: deviation of the logarithm of the factor.
        limits: lowest and highest log-volume that is left.
    """

    middle: float = -0.06
    spread: float = 1.1
    limits: tuple[float, float] = (-2.2, 1.0)

    def draw(self, rng: np.random.Generator) -> float:
        """The factor of one patient."""
        return float(np.exp(self.spread * np.clip(rng.standard_normal(), -2, 2)))


LABILITY = Lability()


def labile(answer: Response, factor: float, constants: Lability = LABILITY) -> Response:
    """The response of a patient with a factor; 1 leaves it as it is, within the limits.

    Args:
        answer: of `law.respond`.
        factor: of `Lability.draw`.
        constants: middle and limits.
    """
    log_volume = float(np.log(1 - answer.shrinkage))
    moved = constants.middle + factor * (log_volume - constants.middle)
    return replace(answer, shrinkage=float(1 - np.exp(np.clip(moved, *constants.limits))))
