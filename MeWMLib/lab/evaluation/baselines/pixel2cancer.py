"""Pixel2Cancer run as regression after treatment: a cellular automaton, mapped to HU. It knows no action.

After Lai et al., From Pixel to Cancer: Cellular Automata in Computed Tomography, MICCAI 2024 (arXiv 2403.06459),
section 2. There each cell holds a state from 0 to 10, the tumour's population; three rules develop it (growth: a state
rises; invasion: a full cell begins a new one beside it; death: a cell shut in by full cells dies), organs are split by
HU into levels that are invaded more or less easily, and the state is mapped to HU. What differs here:

- The automaton begins with the whole lesion full, and treatment is the death rule: it begins in the middle, where a
  cell is shut in most, and spreads to neighbours until the share of dead tumour is reached that this draw has.
- A cell holds viable and dead population, together at most 10, so that death moves population and loses none.
- What died last is the outer side of the dead part. It takes the Lipiodol, which comes with the blood from outside.
- Shares and HU are fitted on pairs (`fit`).

All rules work on whole arrays; there is no loop over cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import LIVER
from MeWMLib.lab.evaluation.baselines import (
    FloatArray,
    Labels,
    Pair,
    blend,
    noise_field,
    prepared,
    require_pairs,
)
from MeWMLib.lab.evaluation.work import box_of
from MeWMLib.perception.findings import LIPIODOL_HU, NECROSIS_HU

#: Population of a full cell.
FULL = 10
#: The six neighbours that share a face: axis and direction.
FACES = tuple((axis, step) for axis in range(3) for step in (-1, 1))
_BESIDE = ndimage.generate_binary_structure(3, 1).astype(np.int16)
_BESIDE[1, 1, 1] = 0
MAX_STEPS = 600
#: Liver this much over its mean (in deviations) counts as vessel and is not invaded; under it, half as easily.
VESSEL_DEVIATIONS = 1.5


@dataclass(frozen=True)
class Parameters:
    """Rules and mapping to HU. The defaults are only there to draw something without training pairs.

    Attributes:
        growth: chance that a viable cell which is not full gains one, each step.
        invasion: chance that a full viable cell begins a new one in one neighbour, each step.
        death: chance that a viable unit dies, each step and dead neighbour.
        dead_share, dead_share_sd: of the tumour, over patients.
        lipiodol_share: of the dead part, in the tumours that take any.
        lipiodol_chance: how many tumours take Lipiodol at all; what was given, this baseline does not know.
        necrosis_hu, necrosis_sd, lipiodol_hu, lipiodol_sd: densities of the dead part.
        viable_change_hu: change of HU in what stays viable.
    """

    growth: float = 0.02
    invasion: float = 0.002
    death: float = 0.35
    dead_share: float = 0.6
    dead_share_sd: float = 0.2
    lipiodol_share: float = 0.4
    lipiodol_chance: float = 1.0
    necrosis_hu: float = 30.0
    necrosis_sd: float = 12.0
    lipiodol_hu: float = 380.0
    lipiodol_sd: float = 90.0
    viable_change_hu: float = 0.0


@dataclass(frozen=True, eq=False)
class State:
    """The automaton.

    Attributes:
        alive, dead: (D, H, W) int16 population; together 0 to `FULL`.
        died_at: (D, H, W) int32 step at which a cell became mostly dead; -1 if it is not.
        ease: (D, H, W) how easily a cell is invaded, 0 to 1.
        step: steps taken.
    """

    alive: NDArray[np.int16]
    dead: NDArray[np.int16]
    died_at: NDArray[np.int32]
    ease: FloatArray
    step: int = 0


def begin(tumour: NDArray[np.bool_], ease: FloatArray, rng: np.random.Generator) -> State:
    """A full lesion in which the first cells of the middle die.

    Args:
        tumour: (D, H, W).
        ease: (D, H, W) how easily a cell is invaded.
        rng: which of the innermost cells begin; at least the deepest of every lesion does.
    """
    depth = ndimage.distance_transform_edt(tumour)
    components, count = ndimage.label(tumour)
    deepest = np.concatenate([[np.inf], ndimage.maximum(depth, components, range(1, count + 1))])[components]
    inner = tumour & (depth >= 0.8 * deepest)
    first = (inner & (rng.random(tumour.shape) < 0.15)) | (tumour & (depth == deepest))
    alive = np.where(tumour & ~first, FULL, 0).astype(np.int16)
    dead = np.where(first, FULL, 0).astype(np.int16)
    return State(alive, dead, np.where(first, 0, -1).astype(np.int32), ease)


def death(state: State, chance: float, rng: np.random.Generator) -> State:
    """Viable units die beside cells that are mostly dead; population moves from viable to dead."""
    sick = ndimage.convolve((state.dead * 2 >= FULL).astype(np.int16), _BESIDE, mode="constant")  # (D, H, W) 0..6
    # two units of a cell are in danger for each dead neighbour: a front of some voxels, not of one, nor of ten
    danger = np.minimum(2 * sick, state.alive)
    dying = rng.binomial(danger, chance).astype(np.int16)
    dead = state.dead + dying
    now = (dead * 2 >= FULL) & (state.died_at < 0)
    return replace(state, alive=state.alive - dying, dead=dead, died_at=np.where(now, state.step, state.died_at))


def growth(state: State, chance: float, rng: np.random.Generator) -> State:
    """Viable cells that are not full gain one unit."""
    room = (state.alive > 0) & (state.alive + state.dead < FULL)
    return replace(state, alive=state.alive + (room & (rng.random(room.shape) < chance)))


def invasion(state: State, chance: float, rng: np.random.Generator) -> State:
    """Full viable cells begin a new one in one neighbour (by a face) that is empty and can be invaded."""
    going = (state.alive == FULL) & (rng.random(state.alive.shape) < chance)
    where = rng.integers(0, len(FACES), going.shape)
    begun = np.zeros(going.shape, bool)
    for number, (axis, step) in enumerate(FACES):
        begun |= _shift(going & (where == number), axis, step)
    empty = (state.alive == 0) & (state.dead == 0)
    begun &= empty & (rng.random(going.shape) < state.ease)
    return replace(state, alive=state.alive + begun)


def regress(
    state: State, tumour: NDArray[np.bool_], share: float, parameters: Parameters, rng: np.random.Generator
) -> State:
    """Run the rules until `share` of the tumour's population is dead, or nothing moves any more."""
    goal = share * FULL * int(tumour.sum())
    for _ in range(MAX_STEPS):
        if int(state.dead.sum()) >= goal:
            break
        state = death(replace(state, step=state.step + 1), parameters.death, rng)
        state = invasion(growth(state, parameters.growth, rng), parameters.invasion, rng)
    return state


def simulate(
    hu: FloatArray,
    labels: Labels,
    spacing_mm: float,
    seed: int,
    weight: FloatArray | None = None,
    parameters: Parameters | None = None,
) -> FloatArray:
    """Run the automaton and map it to HU; see the package for the arguments. A voxel is a cell."""
    hu, tumour, weight = prepared(hu, labels, spacing_mm, weight)
    chosen = parameters or Parameters()
    rng = np.random.default_rng(seed)
    box = box_of((labels == 2) | (weight > 0), margin=1)
    image, tumour = hu[box], tumour[box]
    share = float(np.clip(rng.normal(chosen.dead_share, chosen.dead_share_sd), 0.0, 0.99))
    ease = invasion_ease(image, labels[box], weight[box])
    if share > 0:
        state = regress(begin(tumour, ease, rng), tumour, share, chosen, rng)
    else:  # nothing dies, and without death this automaton has nothing to do
        full = np.where(tumour, FULL, 0).astype(np.int16)
        state = State(full, np.zeros_like(full), np.full(full.shape, -1, np.int32), ease)
    change = np.zeros_like(hu)
    change[box] = _to_change(state, image, tumour, spacing_mm, chosen, rng)
    return blend(hu, change, weight)


def invasion_ease(hu: FloatArray, labels: Labels, weight: FloatArray) -> FloatArray:
    """Levels of the organ by HU (section 2): liver 1, dark liver 0.5; vessels and all else 0."""
    liver = labels == LIVER
    if not liver.any():
        return np.zeros(hu.shape, np.float32)
    mean, deviation = float(hu[liver].mean()), max(float(hu[liver].std()), 1.0)
    ease = np.where(hu < mean - VESSEL_DEVIATIONS * deviation, 0.5, 1.0)
    vessel = hu > mean + VESSEL_DEVIATIONS * deviation
    return np.where(liver & ~vessel & (weight > 0), ease, 0.0).astype(np.float32)


def fit(pairs: Sequence[Pair]) -> Parameters:
    """Fit shares and densities on pairs; every pair counts the same.

    Dead voxels are under `NECROSIS_HU` or at `LIPIODOL_HU` and above after treatment (smoothed by 1 mm against
    noise).

    Raises:
        NoTumourError: no pairs.
    """
    require_pairs(pairs)
    shares, oils, rows = [], [], []
    for pair in pairs:
        tumour = pair.labels == 2
        smooth = ndimage.gaussian_filter(np.asarray(pair.after, np.float32), 1.0 / pair.spacing_mm)[tumour]
        oil, dark = smooth >= LIPIODOL_HU, smooth < NECROSIS_HU
        shares.append(float((oil | dark).mean()))
        oils.append(float(oil.mean()))
        after, before = pair.after[tumour], pair.before[tumour]
        rows.append((after[oil], after[dark], (after - before)[~oil & ~dark]))
    taking = [share for share, oil in zip(shares, oils, strict=True) if oil > 0.01]
    defaults = Parameters()
    oily, necrotic, viable = zip(*rows, strict=True)
    lipiodol_hu, lipiodol_sd = _pooled(oily, (defaults.lipiodol_hu, defaults.lipiodol_sd))
    necrosis_hu, necrosis_sd = _pooled(necrotic, (defaults.necrosis_hu, defaults.necrosis_sd))
    return replace(
        defaults,
        dead_share=float(np.mean(shares)),
        dead_share_sd=float(np.std(shares)),
        lipiodol_share=float(sum(oils) / sum(taking)) if taking else 0.0,
        lipiodol_chance=len(taking) / len(pairs),
        lipiodol_hu=lipiodol_hu,
        lipiodol_sd=lipiodol_sd,
        necrosis_hu=necrosis_hu,
        necrosis_sd=necrosis_sd,
        viable_change_hu=_pooled(viable, (0.0, 0.0))[0],
    )


def _pooled(values: Sequence[FloatArray], instead: tuple[float, float]) -> tuple[float, float]:
    """Mean and deviation over patients that have such voxels, each counting the same; `instead` if none has."""
    known = [v.astype(np.float64) for v in values if len(v)]
    if not known:
        return instead
    mean = float(np.mean([v.mean() for v in known]))
    return mean, float(np.sqrt(np.mean([((v - mean) ** 2).mean() for v in known])))


def _to_change(
    state: State,
    hu: FloatArray,
    tumour: NDArray[np.bool_],
    spacing_mm: float,
    parameters: Parameters,
    rng: np.random.Generator,
) -> FloatArray:
    """State to change of HU: each share of a cell's population pulls toward its own density."""
    dead = state.dead.astype(np.float32) / FULL
    alive = state.alive.astype(np.float32) / FULL
    grain = noise_field(hu.shape, 3.0 / spacing_mm, 0.5, rng)
    necrosis = parameters.necrosis_hu + parameters.necrosis_sd * grain
    lipiodol = parameters.lipiodol_hu + parameters.lipiodol_sd * grain
    share = parameters.lipiodol_share if rng.random() < parameters.lipiodol_chance else 0.0
    target = np.where(_takes_lipiodol(state, share, rng), lipiodol, necrosis)
    inside = dead * (target - hu) + (1 - dead) * parameters.viable_change_hu
    # new tumour beside the old looks like the old; it is as sparse as its population
    outside = alive * (float(hu[tumour].mean()) + parameters.viable_change_hu - hu)
    return np.asarray(np.where(tumour, inside, outside), np.float32)


def _takes_lipiodol(state: State, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The `share` of the dead cells that died last."""
    gone = state.died_at >= 0
    if share <= 0 or not gone.any():
        return np.zeros(gone.shape, bool)
    when = state.died_at + rng.random(gone.shape)  # cells of one step in random order
    return np.asarray(gone & (when >= np.quantile(when[gone], 1 - min(share, 1.0))))


def _shift(mask: NDArray[np.bool_], axis: int, step: int) -> NDArray[np.bool_]:
    """The mask moved by one cell; nothing enters at the faces."""
    moved = np.roll(mask, step, axis)
    np.moveaxis(moved, axis, 0)[0 if step > 0 else -1] = False
    return moved
