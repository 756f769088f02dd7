"""Pixel2Cancer after treatment: what each rule may do, and that its statistics are those of the pairs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError, NoTumourError
from MeWMLib.lab.evaluation.baselines import Pair, pixel2cancer
from MeWMLib.lab.evaluation.baselines.pixel2cancer import FULL, Parameters, State

SIZE = 36
FACES = ndimage.generate_binary_structure(3, 1)


def ball(radius: float) -> np.ndarray:
    return np.sqrt(((np.indices((SIZE,) * 3) - 17.5) ** 2).sum(0)) < radius


def patient(seed: int = 0, radius: float = 10) -> tuple[np.ndarray, np.ndarray]:
    labels = ball(16).astype(np.uint8)
    labels[ball(radius)] = 2
    hu = np.where(labels == 2, 90, np.where(labels == 1, 110, -100)).astype(np.float32)
    return hu + np.random.default_rng(seed).normal(0, 5, hu.shape).astype(np.float32), labels


def start(seed: int = 0) -> tuple[State, np.ndarray, np.random.Generator]:
    labels = patient()[1]
    rng = np.random.default_rng(seed)
    ease = (labels == 1).astype(np.float32)
    return pixel2cancer.begin(labels == 2, ease, rng), labels == 2, rng


def test_death_moves_population_and_loses_none() -> None:
    state, tumour, rng = start()
    for step in range(30):
        before = state
        state = pixel2cancer.death(replace(state, step=step + 1), 0.4, rng)
        assert np.array_equal(state.alive + state.dead, before.alive + before.dead)
        assert (state.dead >= before.dead).all() and (state.alive >= 0).all()
        dying = state.dead > before.dead
        # nobody dies but beside a cell that is mostly dead
        assert not (dying & ~ndimage.binary_dilation(before.dead >= FULL / 2, FACES)).any()
    assert (state.alive + state.dead)[tumour].sum() == FULL * tumour.sum()
    assert state.dead.sum() > 0.3 * FULL * tumour.sum()


def test_death_begins_in_the_middle() -> None:
    state, tumour, rng = start()
    depth = ndimage.distance_transform_edt(tumour)
    assert depth[state.dead > 0].min() >= 0.8 * depth.max() and state.dead[depth == depth.max()].min() == FULL
    half = pixel2cancer.regress(state, tumour, 0.5, Parameters(growth=0, invasion=0), rng)
    assert half.dead.sum() / (FULL * tumour.sum()) == pytest.approx(0.5, abs=0.08)
    assert depth[half.dead >= 5].mean() > depth[tumour & (half.dead < 5)].mean() + 2
    order = half.died_at[half.died_at >= 0]
    assert np.corrcoef(order, depth[half.died_at >= 0])[0, 1] < -0.7


def test_every_lesion_has_a_middle() -> None:
    two = np.zeros((12, 12, 30), bool)
    two[2:9, 2:9, 2:9] = two[4:7, 4:7, 20:23] = True
    state = pixel2cancer.begin(two, np.zeros(two.shape, np.float32), np.random.default_rng(0))
    assert state.dead[5, 5, 5] == FULL and state.dead[5, 5, 21] == FULL


def test_growth_fills_viable_cells_by_one_and_never_over_the_brim() -> None:
    rng = np.random.default_rng(0)
    alive = rng.integers(0, FULL + 1, (8, 8, 8)).astype(np.int16)
    dead = np.minimum(rng.integers(0, FULL + 1, (8, 8, 8)), FULL - alive).astype(np.int16)
    state = State(alive, dead, np.full(alive.shape, -1, np.int32), np.ones(alive.shape, np.float32))
    grown = pixel2cancer.growth(state, 1.0, rng)
    room = (alive > 0) & (alive + dead < FULL)
    assert np.array_equal(grown.alive - alive, room.astype(int)) and np.array_equal(grown.dead, dead)
    assert np.array_equal(pixel2cancer.growth(state, 0.0, rng).alive, alive)


def test_only_neighbours_of_full_cells_that_may_be_invaded_are() -> None:
    alive = np.zeros((9, 9, 9), np.int16)
    alive[4, 4, 4], alive[0, 0, 0], alive[7, 7, 7] = FULL, FULL, FULL - 1
    ease = np.ones(alive.shape, np.float32)
    ease[3, 4, 4] = 0
    state = State(alive, np.zeros_like(alive), np.full(alive.shape, -1, np.int32), ease)
    reached = np.zeros(alive.shape, bool)
    for seed in range(80):
        after = pixel2cancer.invasion(state, 1.0, np.random.default_rng(seed))
        new = after.alive - alive
        assert new.min() == 0 and new.max() <= 1 and new.sum() <= 2
        reached |= new > 0
    allowed = ndimage.binary_dilation(alive == FULL, FACES) & (alive == 0) & (ease > 0)
    assert np.array_equal(reached, allowed)  # each of them sooner or later, and nothing else


def test_what_is_dead_or_taken_is_not_invaded() -> None:
    alive = np.full((3, 3, 3), 1, np.int16)
    alive[1, 1, 1] = FULL
    alive[0, 1, 1] = 0
    dead = np.zeros_like(alive)
    dead[0, 1, 1] = 3
    state = State(alive, dead, np.full(alive.shape, -1, np.int32), np.ones(alive.shape, np.float32))
    for seed in range(30):
        assert np.array_equal(pixel2cancer.invasion(state, 1.0, np.random.default_rng(seed)).alive, alive)


def test_the_whole_run_keeps_its_bounds() -> None:
    state, tumour, rng = start(2)
    end = pixel2cancer.regress(state, tumour, 0.9, Parameters(growth=0.2, invasion=0.3), rng)
    assert end.alive.min() >= 0 and end.dead.min() >= 0 and (end.alive + end.dead).max() <= FULL
    spread = (end.alive + end.dead > 0) & ~tumour
    assert spread.any() and not (spread & (end.ease == 0)).any()


def test_vessels_and_other_tissue_are_not_invaded() -> None:
    hu, labels = patient()
    hu[5, 17, 17], hu[4, 17, 17] = 260, 40
    ease = pixel2cancer.invasion_ease(hu, labels, np.ones_like(hu))
    assert ease[5, 17, 17] == 0 and ease[4, 17, 17] == 0.5 and ease[labels != 1].max() == 0
    assert ease[labels == 1].mean() > 0.8
    assert pixel2cancer.invasion_ease(hu, labels, np.zeros_like(hu)).max() == 0
    assert pixel2cancer.invasion_ease(hu, np.full_like(labels, 2), np.ones_like(hu)).max() == 0


def test_a_seed_is_an_outcome_and_nothing_changes_outside_the_weight() -> None:
    hu, labels = patient()
    first = pixel2cancer.simulate(hu, labels, 1.0, 4)
    assert first.dtype == np.float32 and np.array_equal(first, pixel2cancer.simulate(hu, labels, 1.0, 4))
    assert not np.array_equal(first, pixel2cancer.simulate(hu, labels, 1.0, 5))
    far = ndimage.distance_transform_edt(labels != 2) >= 6
    assert np.array_equal(first[far], hu[far]) and np.abs(first - hu)[labels == 2].mean() > 10
    weight = ball(5).astype(np.float32)
    narrow = pixel2cancer.simulate(hu, labels, 1.0, 4, weight=weight)
    assert np.array_equal(narrow[weight == 0], hu[weight == 0]) and (narrow != hu)[weight > 0].mean() > 0.9


def test_densities_are_mapped_as_asked() -> None:
    hu, labels = patient()
    tumour = labels == 2
    chosen = Parameters(
        growth=0,
        invasion=0,
        dead_share=0.6,
        dead_share_sd=0,
        lipiodol_share=0.5,
        necrosis_sd=0,
        lipiodol_sd=0,
        necrosis_hu=20,
        lipiodol_hu=400,
    )
    after = pixel2cancer.simulate(hu, labels, 1.0, 0, parameters=chosen)
    assert (after[tumour] > 245).mean() == pytest.approx(0.3, abs=0.06)
    assert (after[tumour] < 55).mean() == pytest.approx(0.3, abs=0.06)
    depth = ndimage.distance_transform_edt(tumour)
    # Lipiodol lies at the outer side of what is dead
    assert depth[tumour & (after > 245)].mean() < depth[tumour & (after < 55)].mean() - 1
    untouched = pixel2cancer.simulate(hu, labels, 1.0, 0, parameters=replace(chosen, dead_share=0.0))
    assert np.array_equal(untouched, hu)


def test_fit_gives_back_what_the_pairs_were_made_of() -> None:
    rng, pairs, shares = np.random.default_rng(0), [], []
    for seed in range(6):
        hu, labels = patient(seed)
        depth = ndimage.distance_transform_edt(labels == 2)
        after = np.where(labels == 2, hu - 7, hu)
        oil, dark = (depth > 4) & (depth <= 5.5), depth > 5.5 - 0.3 * seed
        dark &= ~oil
        after = np.where(oil, 350 + rng.normal(0, 40, hu.shape), after)
        after = np.where(dark, 25 + rng.normal(0, 10, hu.shape), after)
        shares.append((oil | dark)[labels == 2].mean())
        pairs.append(Pair(hu, after.astype(np.float32), labels, 4.0))  # 4 mm: next to no smoothing
    found = pixel2cancer.fit(pairs)
    assert found.dead_share == pytest.approx(np.mean(shares), abs=0.02)
    assert found.dead_share_sd == pytest.approx(np.std(shares), abs=0.02)
    assert found.lipiodol_hu == pytest.approx(350, abs=6) and found.lipiodol_sd == pytest.approx(40, abs=6)
    assert found.necrosis_hu == pytest.approx(25, abs=3) and found.necrosis_sd == pytest.approx(10, abs=3)
    assert found.viable_change_hu == pytest.approx(-7, abs=2)
    after = pixel2cancer.simulate(
        *patient(3), 1.0, 3, parameters=replace(found, dead_share_sd=0.0, growth=0, invasion=0)
    )
    tumour = patient(3)[1] == 2
    # the soft front between dead and viable makes some voxels neither
    assert ((after >= 200) | (after < 50))[tumour].mean() == pytest.approx(found.dead_share, abs=0.1)


def test_without_necrosis_in_the_pairs_nothing_dies() -> None:
    hu, labels = patient()
    found = pixel2cancer.fit([Pair(hu, hu + 4, labels, 1.0)])
    assert found.dead_share == 0 and found.viable_change_hu == pytest.approx(4, abs=1e-3)
    assert found.lipiodol_hu == Parameters().lipiodol_hu


def test_what_cannot_be_used_is_refused() -> None:
    hu, labels = patient()
    with pytest.raises(NoTumourError, match="no tumour"):
        pixel2cancer.simulate(hu, np.minimum(labels, 1), 1.0, 0)
    with pytest.raises(GeometryMismatchError):
        pixel2cancer.simulate(hu, labels[1:], 1.0, 0)
    with pytest.raises(NoTumourError, match="0 training pairs"):
        pixel2cancer.fit([])


def test_fit_learns_how_many_tumours_take_lipiodol() -> None:
    hu, labels = patient()
    dead = np.where(ball(7), np.float32(20), hu)
    with_oil = np.where(ball(7) & ~ball(5), np.float32(400), dead)
    pairs = [Pair(hu, after, labels, 4.0) for after in (dead, dead, dead, with_oil)]
    found = pixel2cancer.fit(pairs)
    assert found.lipiodol_chance == 0.25
    assert found.lipiodol_share == pytest.approx(1 - ball(5).sum() / ball(7).sum(), abs=0.02)
    calm = replace(found, lipiodol_sd=0, necrosis_sd=0)
    bright = [(pixel2cancer.simulate(hu, labels, 1.0, n, parameters=calm) > 200).any() for n in range(12)]
    assert 0 < sum(bright) < 9
