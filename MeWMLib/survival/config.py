"""The shape of a survival network and the covariates that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.bundle import require_sizes
from MeWMLib.core.errors import BundleError, InputError, SurvivalDataError
from MeWMLib.core.records import from_plain, record_to_plain

#: Sizes in the order in which the network takes them; natural logarithms.
SIZE_COVARIATES = ("log_spacing_mm", "log1p_tumour_ml_before", "log1p_tumour_ml_after", "log1p_viable_ml_after")
#: What else a network may be told: natural log of the weeks from treatment to the scan after, and 1 for the arterial
#: phase, 0 for any other.
SESSION_COVARIATES = ("log_weeks", "arterial")
#: Features that one group normalisation shares.
GROUP = 8
#: Lowest and highest value of each field; far beyond any network that is trained.
_SIZES = {
    "width": (GROUP, 1024), "blocks": (1, 64), "volumetric_stages": (0, 4), "heads": (1, 64), "hidden": (1, 8192),
    "dropout": (0, 1), "members": (0, 10_000),
}  # fmt: skip


@dataclass(frozen=True)
class SurvivalConfig:
    """Shape of a `SurvivalNetwork`.

    Attributes:
        width: features of the first stage; the four stages hold 1, 2, 4 and 6 times as many.
        blocks: residual blocks of the four stages.
        volumetric_stages: how many stages convolve in 3D; the later ones convolve axial planes (MC3: 1 after the stem).
        heads: attention heads of the cross-attention.
        hidden: width of the risk head.
        dropout: in the risk head, training only.
        covariates: names of the late inputs in order; NaN means that a value is not known.
        edges_months: edges of the survival intervals, rising from 0.
        members: bootstrap members of the last layer; 0 in bundles that were made without them.
        images: False for a Cox model of the covariates alone, which looks at no image.
    """

    width: int = 16
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    volumetric_stages: int = 1
    heads: int = 4
    hidden: int = 64
    dropout: float = 0.2
    covariates: tuple[str, ...] = SIZE_COVARIATES
    edges_months: tuple[float, ...] = (0, 3, 6, 9, 12, 18, 24, 36, 48, 60, 84, 120)
    members: int = 0
    images: bool = True

    def __post_init__(self) -> None:
        for name in ("blocks", "covariates", "edges_months"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_edges(self.edges_months)
        require_sizes(self, _SIZES, "the survival network")
        if self.width < GROUP or self.width % GROUP or (6 * self.width) % self.heads:
            raise InputError(
                what="The width of the survival network does not fit its groups and heads",
                given=f"width {self.width}, {self.heads} heads",
                remedy=f"Use a multiple of {GROUP}",
            )
        if not self.images and not self.covariates:
            raise InputError(
                what="A survival model without images and without covariates knows nothing",
                given="images false, no covariates",
                remedy="Give it covariates: " + ", ".join((*SIZE_COVARIATES, *SESSION_COVARIATES)),
            )
        if len(self.blocks) != 4 or min(self.blocks) < 1:
            raise InputError(what="The survival network has four stages of at least one block", given=str(self.blocks))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SurvivalConfig:
        """Read the form of `to_json`; unknown fields are refused.

        Raises:
            BundleError: the data do not describe a survival network.
        """
        remedy = "Update MeWM or choose another bundle"
        return from_plain(cls, dict(data), "the survival network of this bundle", BundleError, remedy)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return record_to_plain(self)


def check_edges(edges: Sequence[float]) -> NDArray[np.float64]:
    """Return bin edges as an array; raise `SurvivalDataError` unless they rise from 0."""
    bounds = np.asarray(edges, dtype=np.float64)
    if bounds.ndim != 1 or bounds.size < 2 or bounds[0] != 0 or not (np.diff(bounds) > 0).all():
        raise SurvivalDataError(what="Bin edges must rise from 0 months", given=str(list(edges)))
    return bounds


def size_covariates(
    spacing_mm: float, tumour_ml_before: float, tumour_ml_after: float, viable_ml_after: float
) -> NDArray[np.float32]:
    """Return the covariates `SIZE_COVARIATES` (4,) of one patient; the spacing is that of the treated patch."""
    sizes = np.log1p([tumour_ml_before, tumour_ml_after, viable_ml_after])
    return np.array([np.log(spacing_mm), *sizes], dtype=np.float32)


def chosen_covariates(
    names: Sequence[str],
    sizes: NDArray[np.float32],
    weeks: float | None = None,
    arterial: bool | None = None,
) -> NDArray[np.float32]:
    """Return the covariates (F,) that a network takes by their names; NaN where one is not known.

    Args:
        names: of the network's config.
        sizes: of `size_covariates`.
        weeks: from treatment to the scan after.
        arterial: the phase of the scans.
    """
    known = dict(zip(SIZE_COVARIATES, sizes, strict=True))
    known["log_weeks"] = np.float32(np.nan if weeks is None else np.log(weeks))
    known["arterial"] = np.float32(np.nan if arterial is None else arterial)
    return np.array([known.get(name, np.nan) for name in names], np.float32)
