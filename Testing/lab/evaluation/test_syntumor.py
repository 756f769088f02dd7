"""SynTumor after TACE: where it changes the CT, what its amplitudes are, and what `fit` finds."""

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError, NoTumourError
from MeWMLib.lab.evaluation.baselines import Pair, noise_field, rim_weight, syntumor
from MeWMLib.lab.evaluation.baselines.syntumor import Parameters

SIZE = 44


def ball(radius: float, centre: tuple[float, float, float] = (22, 22, 22)) -> np.ndarray:
    grid = np.indices((SIZE,) * 3)
    return np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))) < radius


def patient(seed: int = 0, radius: float = 13) -> tuple[np.ndarray, np.ndarray]:
    labels = ball(20).astype(np.uint8)
    labels[ball(radius)] = 2
    hu = np.where(labels == 2, 70, np.where(labels == 1, 110, -100)).astype(np.float32)
    return hu + np.random.default_rng(seed).normal(0, 8, hu.shape).astype(np.float32), labels


def test_a_seed_is_a_tumour() -> None:
    hu, labels = patient()
    first = syntumor.simulate(hu, labels, 1.0, 5)
    assert first.dtype == np.float32 and first.shape == hu.shape
    assert np.array_equal(first, syntumor.simulate(hu, labels, 1.0, 5))
    assert np.abs(first - syntumor.simulate(hu, labels, 1.0, 6))[labels == 2].mean() > 20


@pytest.mark.parametrize("spacing", [1.0, 1.8])
def test_beyond_6_mm_every_voxel_keeps_its_bits(spacing: float) -> None:
    hu, labels = patient()
    after = syntumor.simulate(hu, labels, spacing, 1, parameters=Parameters(scale=0.7, capsule_hu=50))
    far = ndimage.distance_transform_edt(labels != 2) * spacing >= 6.0
    assert np.array_equal(after[far], hu[far])
    near = (labels != 2) & ~far
    assert np.abs(after - hu)[near].mean() > 1 and np.abs(after - hu)[labels == 2].mean() > 20


def test_the_callers_weight_decides_where_it_changes() -> None:
    hu, labels = patient()
    weight = (ball(6) * 0.5).astype(np.float32)
    after = syntumor.simulate(hu, labels, 1.0, 1, weight=weight)
    assert np.array_equal(after != hu, (after != hu) & (weight > 0)) and (after != hu)[weight > 0].mean() > 0.99
    full = syntumor.simulate(hu, labels, 1.0, 1, weight=np.ones_like(hu))
    assert np.allclose((after - hu)[weight > 0], 0.5 * (full - hu)[weight > 0], atol=2e-3)


def test_the_change_has_the_moments_asked_for() -> None:
    hu, labels = patient()
    tumour = labels == 2
    dark = syntumor.simulate(hu, labels, 1.0, 3, parameters=Parameters(bright_share=0.0, dark_hu=-40, dark_sd=12))
    change = (dark - hu)[tumour]
    assert change.mean() == pytest.approx(-40, abs=0.1) and change.std() == pytest.approx(12, abs=0.1)
    both = syntumor.simulate(
        hu, labels, 1.0, 3, parameters=Parameters(bright_share=0.25, bright_hu=300, bright_sd=0, dark_hu=0, dark_sd=0)
    )
    assert ((both - hu)[tumour] > 150).mean() == pytest.approx(0.25, abs=0.03)


def test_the_capsule_brightens_the_edge_and_moves_no_mean() -> None:
    hu, labels = patient()
    flat = Parameters(bright_share=0.0, dark_hu=0, dark_sd=0, capsule_hu=60)
    change = syntumor.simulate(hu, labels, 1.0, 0, parameters=flat) - hu
    depth = ndimage.distance_transform_edt(labels == 2)
    edge, core = change[(depth > 0) & (depth <= 2)], change[depth > 2]
    assert edge.mean() - core.mean() == pytest.approx(60, abs=0.1)
    assert change[labels == 2].mean() == pytest.approx(0, abs=0.1)


def test_the_mass_effect_draws_the_liver_in() -> None:
    labels = patient()[1]
    hu = np.where(labels == 2, 70, 110).astype(np.float32)
    still = Parameters(bright_share=0.0, dark_hu=0, dark_sd=0, scale=0.75)
    after = syntumor.simulate(hu, labels, 1.0, 0, parameters=still)
    # a ball of three quarters of the radius is left at the lesion's own density
    assert (after < 90).sum() / (labels == 2).sum() == pytest.approx(0.75**3, abs=0.03)
    assert np.array_equal(after[labels == 0], hu[labels == 0])


def made_of(truth: Parameters) -> list[Pair]:
    pairs = []
    for seed in range(6):
        hu, labels = patient(seed, radius=11 + seed)
        pairs.append(Pair(hu, syntumor.simulate(hu, labels, 1.0, seed, parameters=truth), labels, 1.0, labels))
    return pairs


def test_fit_gives_back_what_the_pairs_were_made_of() -> None:
    found = syntumor.fit(made_of(Parameters(0.3, 280.0, 60.0, -35.0, 15.0, patch_mm=12.0)))
    assert found.bright_share == pytest.approx(0.3, abs=0.03)
    assert found.bright_hu == pytest.approx(280, abs=25) and found.dark_hu == pytest.approx(-35, abs=12)
    assert found.scale == 1.0


def test_fit_gives_back_the_capsule_and_the_texture() -> None:
    # without bright parts, which lie at the edge or in the middle by chance
    found = syntumor.fit(made_of(Parameters(0.0, 0.0, 0.0, -35.0, 15.0, capsule_hu=-30.0)))
    assert found.capsule_hu == pytest.approx(-30, abs=4) and found.bright_share == 0
    assert found.dark_hu == pytest.approx(-35, abs=1) and found.dark_sd == pytest.approx(15, abs=1)


def test_fit_learns_how_many_tumours_take_lipiodol_and_how_much_they_differ() -> None:
    pairs = []
    for seed in range(8):
        hu, labels = patient(seed)
        after = hu - 20 + (10 if seed % 4 < 2 else -10)
        if seed % 2:
            after = np.where(ball(6), after + 280, after)
        pairs.append(Pair(hu, after.astype(np.float32), labels, 1.0))
    found = syntumor.fit(pairs)
    assert found.bright_chance == 0.5 and found.shift_sd == pytest.approx(10, abs=0.5)
    assert found.bright_share == pytest.approx(ball(6).sum() / ball(13).sum(), abs=0.01)
    hu, labels = patient()
    drawn = [(syntumor.simulate(hu, labels, 1.0, n, parameters=found) - hu)[labels == 2].mean() for n in range(40)]
    # 10 % of the tumour at 280 HU more, or not; and 10 HU from tumour to tumour
    assert np.mean(drawn) == pytest.approx(np.mean([(p.after - p.before)[p.labels == 2].mean() for p in pairs]), abs=8)
    assert np.std(drawn) == pytest.approx(np.hypot(10, 0.5 * 280 * found.bright_share), rel=0.35)


def test_texture_does_not_spill_over_the_outline() -> None:
    hu, labels = patient()
    change = np.abs(syntumor.simulate(hu, labels, 1.0, 2) - hu)
    distance = ndimage.distance_transform_edt(labels != 2)
    ring = change[(distance >= 3) & (distance < 5)]
    assert ring.mean() < 0.01 * change[labels == 2].mean()


def test_simulations_have_mean_and_deviation_of_the_training_changes() -> None:
    rng = np.random.default_rng(1)
    pairs = []
    for seed in range(6):
        hu, labels = patient(seed, radius=10 + seed)
        oil = noise_field(hu.shape, 8.0, 1.0, rng) > rng.normal(0.5, 0.3)
        pairs.append(Pair(hu, (hu + np.where(oil, 260.0, -20.0)).astype(np.float32), labels, 1.0))
    fitted = syntumor.fit(pairs)

    def moments(afters: list[np.ndarray]) -> tuple[float, float]:
        changes = [(a - p.before)[p.labels == 2] for a, p in zip(afters, pairs, strict=True)]
        mean = float(np.mean([c.mean() for c in changes]))
        return mean, float(np.sqrt(np.mean([((c - mean) ** 2).mean() for c in changes])))

    wanted = moments([p.after for p in pairs])
    drawn = moments([syntumor.simulate(p.before, p.labels, 1.0, n, parameters=fitted) for n, p in enumerate(pairs)])
    assert drawn[0] == pytest.approx(wanted[0], abs=4)
    assert drawn[1] == pytest.approx(wanted[1], rel=0.1)


def test_fit_learns_how_far_lesions_shrink() -> None:
    hu, labels = patient()
    after = labels.copy()
    after[(labels == 2) & ~ball(13 * 0.8)] = 1
    assert syntumor.fit([Pair(hu, hu, labels, 1.0, after)]).scale == pytest.approx(0.8, abs=0.02)


def test_noise_field_is_standard_and_as_coarse_as_asked() -> None:
    def neighbours_alike(grain: float) -> float:
        field = noise_field((40, 40, 40), grain, 0.0, np.random.default_rng(0))
        assert field.mean() == pytest.approx(0, abs=1e-4) and field.std() == pytest.approx(1, abs=1e-4)
        return float(np.corrcoef(field[:-1].ravel(), field[1:].ravel())[0, 1])

    assert neighbours_alike(1.0) == pytest.approx(0, abs=0.02)
    assert 0.4 < neighbours_alike(2.5) < neighbours_alike(6.0) - 0.05


def test_rim_weight_falls_to_nothing_at_6_mm() -> None:
    labels = np.zeros((1, 1, 21), np.uint8)
    labels[..., 10] = 2
    expected = np.clip(1 - np.abs(np.arange(21) - 10) * 2.0 / 6.0, 0, 1)
    assert np.allclose(rim_weight(labels, 2.0)[0, 0], expected)


def test_what_cannot_be_used_is_refused() -> None:
    hu, labels = patient()
    with pytest.raises(NoTumourError, match="no tumour"):
        syntumor.simulate(hu, np.minimum(labels, 1), 1.0, 0)
    with pytest.raises(GeometryMismatchError, match="44"):
        syntumor.simulate(hu[1:], labels, 1.0, 0)
    with pytest.raises(GeometryMismatchError):
        syntumor.simulate(hu, labels, 1.0, 0, weight=np.ones((3, 3, 3), np.float32))
    with pytest.raises(NoTumourError, match="0 training pairs"):
        syntumor.fit([])
    with pytest.raises(NoTumourError, match="training pair"):
        Pair(hu, hu, np.minimum(labels, 1), 1.0)
    with pytest.raises(GeometryMismatchError):
        Pair(hu, hu[1:], labels, 1.0)
