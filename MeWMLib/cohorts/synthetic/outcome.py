"""What a session leaves of a nodule in version 3: parts that die as their arteries were closed, and grains of Lipiodol.

All of it is drawn on a lattice that belongs to the nodule and moves with its tissue, so that every scan of a patient,
on whatever grid, shows the same parts and the same grains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.law import Response
from MeWMLib.cohorts.synthetic.look import LookConstants
from MeWMLib.cohorts.synthetic.territories import Cells, Fed, WholeLiver
from MeWMLib.cohorts.synthetic.tumour import REACH, Mask, Nodule
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.rendering.grains import Grains, Places, draw_grains
from MeWMLib.rendering.iodine import LIPIODOL_MG_ML
from MeWMLib.rendering.scanner import resampled

#: Weeks after TACE at which a scan can be drawn, and those where none are given.
WEEKS, USUAL_WEEKS = (1.0, 26.0), 5.0
#: Lipiodol is retained as `LookConstants.oil_share` says where the law's dead share times its retention is this.
USUAL_UPTAKE = 0.35
#: Of what was injected, a share that at most stays in the tumour at once.
MOST_RETAINED = 0.8
#: Edge of the lattice: a share of the radius, within these (mm).
STEP_SHARE, STEP_MM = 0.125, (1.0, 3.0)
#: What decides which part dies: which arteriole feeds it, how well perfused it is, depth, and what nobody foresees.
BY_CELL, BY_PERFUSION, BY_DEPTH, BY_LUCK = 1.0, 0.4, 0.25, 0.3
#: Tissue outside of the territory dies last.
UNFED = 8.0


@dataclass(frozen=True)
class Session:
    """One session of TACE as the world needs it, beside its protocol.

    Attributes:
        weeks: from the session to the scan after it.
        fed: the territory of the treated arteries; None: the one that was drawn for the patient.

    Raises:
        InputError: weeks out of `WEEKS`.
    """

    weeks: float = USUAL_WEEKS
    fed: Fed | None = None

    def __post_init__(self) -> None:
        if not WEEKS[0] <= self.weeks <= WEEKS[1]:
            raise InputError(
                what="The world has no scan so many weeks after TACE",
                given=f"{self.weeks:g} weeks",
                remedy=f"Ask for {WEEKS[0]:g} to {WEEKS[1]:g} weeks",
            )


def injected_ml(protocol: Protocol) -> float:
    """Lipiodol (ml) of a protocol: as stated, else the middle of its usual range; 0 without it."""
    for action in protocol.actions:
        if action.agent == "Lipiodol":
            known = agent("Lipiodol")
            return 0.5 * (known.dose_low + known.dose_high) if action.dose is None else action.dose
    return 0.0


def left_ml(taken_up: Sequence[float], luck: float, given_ml: float, weeks: float, look: LookConstants) -> list[float]:
    """Lipiodol (ml) that is left in each nodule after some weeks; together never more than was injected.

    Args:
        taken_up: of every nodule, see `Tissue.taken_up_ml`.
        luck: the patient's factor, 0 where nothing stays.
        given_ml: that was injected; what the nodules can hold is limited by it, and then washes out.
        weeks: since the session.
        look: constants.
    """
    wanted = luck * sum(taken_up)
    if wanted <= 0:
        return [0.0] * len(taken_up)
    share = luck * min(1.0, MOST_RETAINED * given_ml / wanted) * washed_out(weeks, look) / washed_out(WEEKS[0], look)
    return [share * ml for ml in taken_up]


def washed_out(weeks: float, look: LookConstants) -> float:
    """Lipiodol that is left, relative to that at `USUAL_WEEKS`; falls with time."""
    return float(0.5 ** ((weeks - USUAL_WEEKS) / look.oil_half_life))


@dataclass(frozen=True, eq=False)
class Tissue:
    """A nodule's tissue on its lattice (K, J, I).

    Attributes:
        nodule, kind: whose.
        local: places about the nodule's centre (mm) before treatment.
        inside: 1 in the liver.
    """

    nodule: Nodule
    kind: str
    local: Axes
    inside: Mask

    @classmethod
    def of(cls, nodule: Nodule, kind: str, anatomy: Anatomy) -> Tissue:
        """Lay the lattice over a nodule."""
        step = float(np.clip(STEP_SHARE * nodule.radius, *STEP_MM))
        half = int(np.ceil(REACH * nodule.radius / step))
        line = (step * np.arange(-half, half + 1)).astype(np.float32)
        local = Axes(line, line, line)
        inside = anatomy.liver(moved(local, nodule.centre)) > 0
        return cls(nodule, kind, local, inside)

    @property
    def places(self) -> Places:
        """z, y, x of the lattice (mm, about the centre)."""
        return self.local.z, self.local.y, self.local.x

    @property
    def cell_ml(self) -> float:
        """Volume of one point of the lattice."""
        return float(self.local.x[1] - self.local.x[0]) ** 3 / 1000.0

    @cached_property
    def shape(self) -> FloatArray:
        """The nodule's shape function."""
        return self.nodule.shape(moved(self.local, self.nodule.centre))

    @cached_property
    def mask(self) -> Mask:
        """Where the tumour is."""
        return np.asarray((self.shape > 0) & self.inside)

    @cached_property
    def perfusion(self) -> FloatArray:
        """As `Nodule.perfusion`."""
        return self.nodule.perfusion(moved(self.local, self.nodule.centre))

    @cached_property
    def core(self) -> Mask:
        """What is dead before any treatment."""
        if self.kind != "necrotic_core":
            return np.zeros(self.shape.shape, bool)
        return self.mask & (self.shape - 0.10 * self.perfusion > 0.48)

    @cached_property
    def dead_before(self) -> FloatArray:
        """Above 0 where tissue is dead before any treatment."""
        return np.where(self.core, 1.0, -1.0).astype(np.float32)

    @cached_property
    def cells(self) -> FloatArray:
        """Numbers of the parts that share an arteriole."""
        return Cells(self.nodule.seed, self.nodule.radius).at(self.local)

    @cached_property
    def order(self) -> FloatArray:
        """What dies first has the highest values."""
        luck = SmoothField(derive_seed("pattern", self.nodule.seed), max(4.0, 0.45 * self.nodule.radius)).at(self.local)
        order = BY_CELL * self.cells + BY_PERFUSION * self.perfusion + BY_DEPTH * self.shape + BY_LUCK * luck
        return np.asarray(order, np.float32)

    @cached_property
    def vessels(self) -> FloatArray:
        """Directions (K, J, I, 3) of vessels: from the surface inwards, bent at random."""
        bent = [SmoothField(derive_seed("vessels", self.nodule.seed, n), 9.0).at(self.local) for n in range(3)]
        reach = max(float(self.nodule.radius), 1.0)
        inward = [-g / reach for g in self.local.grids]
        return np.stack([b + 0.8 * i for b, i in zip(bent, inward, strict=True)], -1).astype(np.float32)

    def fed(self, territory: Fed) -> FloatArray:
        """Share (K, J, I) to which the treated arteries feed each point."""
        if isinstance(territory, WholeLiver):
            return np.ones(self.shape.shape, np.float32)
        return territory.share(moved(self.local, self.nodule.centre))

    def dying(self, answer: Response, fed: FloatArray) -> FloatArray:
        """A function (K, J, I) above 0 where tissue dies: the law's share of what is fed and lived."""
        alive = self.mask & ~self.core
        value = self.order - UNFED * (1 - fed)
        if answer.necrosis <= 0 or not alive.any():
            return np.full(value.shape, -1.0, np.float32)
        ranked = np.sort(value[alive])[::-1]
        count = round(answer.necrosis * float(fed[alive].sum()))
        edge = ranked[0] + 1.0 if count == 0 else float(ranked[min(count, len(ranked)) - 1])
        return np.asarray(value - edge, np.float32)

    def taken_up_ml(self, answer: Response, fed: FloatArray, look: LookConstants) -> float:
        """Lipiodol (ml) that the fed part of the nodule holds one week after a session, in a patient of median luck."""
        fed_ml = float((fed * self.mask).sum()) * self.cell_ml
        # what is retained grows less than in proportion: vessels that are full take no more
        uptake = float(np.sqrt(answer.necrosis * answer.lipiodol / USUAL_UPTAKE))
        # tissue that is resorbed takes its oil along
        kept = min(1.0, 1 - answer.shrinkage)
        return fed_ml * kept * look.oil_share * uptake * washed_out(WEEKS[0], look)

    def density(self, dying: FloatArray, fed: FloatArray, answer: Response, look: LookConstants) -> FloatArray:
        """Where Lipiodol is expected (K, J, I), not normalised: in fed parts, at rims, where flow stopped."""
        field = SmoothField(derive_seed("oil", self.nodule.seed), look.oil_patch_mm).at(self.local)
        fine = SmoothField(derive_seed("oil fine", self.nodule.seed), 4.0).at(self.local)
        where = field + 0.35 * self.perfusion + 0.35 * np.tanh(dying)
        most = self.mask & (fed > 0.5)
        if not most.any():
            return np.zeros(field.shape, np.float32)
        edge = float(np.quantile(where[most], 1 - min(0.95, look.oil_fill * 2 * answer.lipiodol)))
        gate = 0.5 + 0.5 * np.tanh((where - edge) / 0.5)
        # deposits crowd at the rim of the lesion and at the border between what died and what lives
        rim = np.exp(-(((self.shape - 0.12) / 0.14) ** 2)) + 0.6 * np.exp(-((dying / 0.5) ** 2)) - 0.6 * self.shape
        weight = gate * np.exp(look.oil_rim * rim + look.oil_clump * fine) * np.where(self.core, 0.1, 1.0)
        return np.asarray(weight * fed * fed * self.mask, np.float32)

    def grains(self, density: FloatArray, ml: float, look: LookConstants, seed: int) -> Grains:
        """The grains of `ml` Lipiodol, places about the nodule's centre (mm) before it shrinks."""
        total = float(density.sum()) * self.cell_ml
        if ml <= 0 or total <= 0:
            return Grains.none()
        expected = density * (ml * LIPIODOL_MG_ML / total)
        rng = np.random.default_rng(derive_seed("grains", seed))
        allowed = (density > 0).astype(np.float32)
        return draw_grains(expected, self.places, self.vessels, look.grains, rng, allowed)

    def on(self, values: FloatArray, axes: Axes, scale: float) -> FloatArray:
        """Values of the lattice on a grid (K', J', I') of a scan in which the nodule has `scale` times its size."""
        if not np.ptp(values):
            return np.full((len(axes.z), len(axes.y), len(axes.x)), values.flat[0], np.float32)
        local = axes.shifted(self.nodule.centre, scale)
        return resampled(values, self.places, (local.z, local.y, local.x))


def moved(axes: Axes, centre: tuple[float, float, float]) -> Axes:
    """Places about a centre as places in the patient (RAS mm)."""
    return Axes(*((a + np.float32(c)) for a, c in zip((axes.z, axes.y, axes.x), centre, strict=True)))


def placed(grains: Grains, centre: tuple[float, float, float], scale: float) -> NDArray[np.float64]:
    """Places (N, 3) of grains in the patient once the nodule has `scale` times its size."""
    return np.asarray(np.array(centre) + scale * grains.place)
