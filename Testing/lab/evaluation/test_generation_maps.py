"""Generation in version 3 of the world, on a small test patient, with a small untrained model on coarse maps."""

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest

from MeWMLib.core.bundle import Bundle, write_part
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.map_model import network_part
from MeWMLib.dynamics.map_network import MapNetwork
from MeWMLib.lab.evaluation import generation, generation_maps
from MeWMLib.lab.evaluation.generation_figures import GenerationSettings, logs_agree, ranks_agree
from MeWMLib.lab.evaluation.generation_maps import Predicted
from MeWMLib.lab.evaluation.known_study import KnownStudy, Truth
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.world.model import WorldModel

#: A test patient with one nodule of 9 mm, fed in part, in whom Lipiodol stays.
SEED = 200_005


@pytest.fixture(scope="module")
def bundle(tiny_map_bundle: Bundle, map_network: MapNetwork, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small untrained model with outcomes of a possible size: it takes long to paint litres of Lipiodol."""
    network = copy.deepcopy(map_network)
    for weight in network.out[-1].parameters():
        weight.data *= 0.05
    folder = tmp_path_factory.mktemp("calm") / "calm"
    shutil.copytree(tiny_map_bundle.path, folder)
    write_part(folder, "dynamics", *network_part(network))
    return find_bundle(folder)


@pytest.fixture(scope="module")
def known(bundle: Bundle) -> KnownStudy:
    return KnownStudy.draw(WorldModel.load(bundle), SEED)


@pytest.fixture(scope="module")
def truths(known: KnownStudy) -> list[Truth]:
    return known.truths(known.protocols)


def test_the_patient_is_what_a_product_meets(known: KnownStudy) -> None:
    drawn, ct = known.drawn, known.patient.ct
    assert len(drawn.nodules) == 1 and drawn.nodules[0].radius < 13 and drawn.oil_luck > 0 and SEED in SPLITS["test"]
    assert ct.array.dtype == np.int16 and ct.phase == drawn.anatomy.phase
    assert ct.geometry.spacing == pytest.approx(drawn.scanner.spacing)
    session = known.patient.session
    assert session is not None and session.fed is not None and session.targets is not None
    assert (session.targets == known.patient.labels.tumour).all()
    # what is told of the territory is what the world treats
    told = known.ready.region.fed
    assert told is not None and np.abs(told - known.fed_cubes(drawn.fed)).max() == 0
    # the region lies within the scan
    ends = np.array(np.meshgrid(*((-0.5, n - 0.5) for n in known.cubes.shape))).reshape(3, -1).T
    corners = ct.geometry.to_kji(known.cubes.to_ras(ends))
    assert (corners > -1).all() and (corners < np.array(ct.array.shape)).all()


def test_the_truth_is_one_on_voxels_and_in_cubes(known: KnownStudy, truths: list[Truth]) -> None:
    assert len(truths) == len(known.protocols) >= 5
    voxel_ml = known.patient.ct.geometry.voxel_ml
    for truth, protocol in zip(truths, known.protocols, strict=True):
        assert truth.image.shape == known.before.shape == known.inside.shape
        tumour_ml = float(truth.maps.tumour.sum()) * known.cubes.voxel_ml
        assert tumour_ml == pytest.approx(truth.tumour.sum() * voxel_ml, rel=0.1)
        assert truth.maps.lipiodol_ml == pytest.approx(known.drawn.lipiodol_ml(protocol, known.session), rel=0.05)
        # the law says how much of what is fed and lived dies
        left = known.true_viable_ml(truth.maps)
        answer = known.drawn.response(protocol)
        assert left >= 0.9 * tumour_ml * (1 - answer.necrosis) if known.drawn.kind != "necrotic_core" else True


def test_the_truth_has_no_error_and_full_ranks(known: KnownStudy, truths: list[Truth]) -> None:
    perfect = [[Predicted(t.maps, t.image)] for t in truths]
    found = generation_maps.errors(known, perfect, truths, painted=True)
    assert found["tumour_mae_hu"] == found["cube_mae_hu"] == found["cube_viable_mae"] == 0
    assert found["lipiodol_iodine_error_ml"] == found["lipiodol_volume_error"] == 0
    # volumes are scaled to the outline on voxels
    assert found["viable_volume_error"] < 5
    answer = generation_maps._answer(known, perfect, [replace(t) for t in truths], [[t.maps] for t in truths[:3]],
                                     [t.maps for t in truths[:3]])  # fmt: skip
    assert answer["viable_rank_correlation"] == pytest.approx(1) and answer["drug_viable_r"] > 0.99
    assert answer["counterfactual_rank_correlation_maps"] > 0.7 and np.isnan(answer["shuffled_action_ratio_cubes"])
    assert generation_maps.coverage(known, [g * 3 for g in perfect], truths)["replica_coverage"] == 1
    off = [[Predicted(replace(p.maps, change=p.maps.change + 7), p.image) for p in g] * 3 for g in perfect]
    wrong = generation_maps.coverage(known, off, truths)
    assert wrong["replica_coverage"] == 0 and wrong["replica_coverage_lipiodol"] == 1
    assert generation_maps.errors(known, off, truths, painted=False)["cube_mae_hu"] == pytest.approx(7, abs=1e-3)


def test_drawn_again_only_the_lipiodol_is_another(known: KnownStudy, truths: list[Truth]) -> None:
    again = known.again()
    assert again.drawn.oil_luck != known.drawn.oil_luck and known.drawn.seed == again.drawn.seed
    for maps, truth in zip(again.true_maps(known.protocols[:2], known.session), truths, strict=False):
        np.testing.assert_allclose(maps.viable, truth.maps.viable)
        amounts = np.array([maps.lipiodol_ml, truth.maps.lipiodol_ml])
        assert amounts.max() == 0 or amounts[0] != pytest.approx(amounts[1])


def test_errors_of_an_image_count_in_the_dilated_targets_alone(known: KnownStudy, truths: list[Truth]) -> None:
    truth = truths[0]
    outside = np.where(known.inside, truth.image, truth.image + 50).astype(np.float32)
    assert known.error(outside, truth.image) == 0
    dense = np.where(known.inside & (known.labels >= 1), 250, 0).astype(np.float32)
    everything = (known.inside & (known.labels >= 1)).sum() * known.patient.ct.geometry.voxel_ml
    assert known.dense_ml(dense) == pytest.approx(everything) and everything > 0
    # a painted outcome of no change is the scan before, bit for bit; elsewhere it never changes
    nothing = np.zeros_like(truth.maps.change)
    same = replace(truth.maps, change=nothing, iodine=nothing)
    assert (known.painted(same, 0) == known.before).all()
    for image in (known.painted(truth.maps, 0), known.expected(truth.maps)):
        assert (image != known.before).any() and (image == known.before)[~known.inside].all()


def test_the_rows_of_the_table(bundle: Bundle, known: KnownStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KnownStudy, "draw", lambda world, seed: known)
    settings = GenerationSettings((SEED,), bundle=str(bundle.path), replicas=1, steps=1, montage=1)
    rows, tiles, about = generation.evaluate_generation(settings)
    names = ["mewm", "mewm_expected", "mewm_shuffled_actions", "mewm_action_dropped", "copy_pre", "world"]
    assert sorted(rows) == sorted(names)
    own, world = rows["mewm"], rows["world"]
    for name in names[:-1]:
        for metric in ("tumour_mae_hu", "cube_mae_hu", "lipiodol_iodine_error_ml", "viable_volume_error", "lpips"):
            assert np.isfinite(rows[name][metric]["mean"]) and rows[name][metric]["n"] == 1
        assert ("lipiodol_volume_error" in rows[name]) == (name != "mewm_expected")
    ratio = rows["mewm_shuffled_actions"]["tumour_mae_hu"]["mean"] / own["tumour_mae_hu"]["mean"]
    assert own["shuffled_action_ratio"]["mean"] == pytest.approx(ratio)
    assert own["shuffled_action_ratio_expected"] == rows["mewm_expected"]["shuffled_action_ratio"]
    for metric in ("counterfactual_rank_correlation", "counterfactual_rank_correlation_maps", "drug_viable_r"):
        assert metric in own
    for row in (own, rows["mewm_expected"], world):
        assert {"territory_lipiodol_share", "territory_dead_share", "weeks_sign"} <= set(row)
    # the world obeys its own law
    assert world["weeks_sign"]["mean"] == 1
    assert world["lipiodol_half_life_weeks"]["mean"] == pytest.approx(12)
    assert world["territory_lipiodol_share"]["mean"] > 0.9 and world["territory_dead_share"]["mean"] > 0.6
    assert 0.3 < world["territory_tumour_share"]["mean"] < 0.7
    if "dose_monotone" in own:
        assert world["dose_monotone"]["mean"] == 1 and world["dose_dead_rho"]["mean"] == pytest.approx(1)
    # drawn once more it errs, and less than it would under another protocol
    assert world["cube_mae_hu"]["mean"] > 0 and np.isfinite(world["shuffled_action_ratio_cubes"]["mean"])
    samples, expected, truth = tiles
    assert len(samples) == len(expected) == len(truth) and "segmenter encoder" in about["network"]
    assert all(t.simulated for t in samples[1:]) and not any(t.simulated for t in truth[1:])


def test_the_world_follows_from_the_dynamics_model(tiny_map_bundle: Bundle, tiny_bundle: Bundle) -> None:
    assert generation.world_of(None, str(tiny_map_bundle.path)) == 3
    assert generation.world_of(None, str(tiny_bundle.path)) == 2
    assert generation.world_of(2, str(tiny_map_bundle.path)) == 2
    settings = GenerationSettings((SEED,), bundle=str(tiny_bundle.path), world=3)
    with pytest.raises(InputError, match="coarse maps") as error:
        generation.evaluate_generation(settings)
    assert "--world 2" in str(error.value)


def test_correlations_where_nothing_varies() -> None:
    assert ranks_agree([1, 2, 3], [10, 20, 40]) == pytest.approx(1)
    assert ranks_agree([1, 1, 1], [10, 20, 40]) == 0 and np.isnan(ranks_agree([1, 2, 3], [5, 5, 5]))
    assert logs_agree([0, 1, 3], [0, 1, 3]) == pytest.approx(1) and np.isnan(logs_agree([0, 1], [0, 1]))
    assert logs_agree([2, 2, 2], [0, 1, 3]) == 0
