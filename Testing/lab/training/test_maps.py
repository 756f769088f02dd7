"""Training of the map network: patients as maps, batches, a run that resumes, and fine-tuning on real pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.core.coarse_maps import CELL
from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.map_channels import ASKED
from MeWMLib.dynamics.map_network import MapConfig, MapNetwork
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.training.map_batches import Arrays, Batch, MapCohort, crop_of, joined, whole_row
from MeWMLib.lab.training.map_cohort import encode_map_scan, encode_maps
from MeWMLib.lab.training.map_finetune import RealPairs, fine_tune, pair_errors
from MeWMLib.lab.training.map_settings import FineTuning, MapTraining
from MeWMLib.lab.training.maps import maps_loss, shuffled, train_maps

AGENTS = known_agents()
SMALL = MapTraining(steps=3, rows=2, sessions=1, widths=(8, 8), learning_rate=1e-3)


def test_maps_of_a_patient_are_what_the_world_draws(maps_cohort: Path) -> None:
    with np.load(sorted((maps_cohort / "train").glob("*.npz"))[0]) as file:
        arrays = {k: file[k] for k in file.files}
    shape = arrays["hu"].shape
    assert all(n % (4 * CELL) == 0 for n in shape)
    for name in ("fed", "viable", "tumour_after", "change", "iodine"):
        assert arrays[name].shape == (4, *shape)
    for name in ("tumour", "liver", "fed", "viable", "tumour_after"):
        assert 0 <= arrays[name].min() <= arrays[name].max() <= 1
    assert (arrays["viable"] <= arrays["tumour_after"] + 1e-3).all()
    assert arrays["iodine"].min() >= 0
    oil = arrays["actions"][:, AGENTS.index("Lipiodol"), 0] > 0
    assert (arrays["iodine"].sum((1, 2, 3))[~oil] == 0).all()
    # a session whose territory misses the tumour kills none of it
    fed = (arrays["fed"] * arrays["tumour"]).sum((1, 2, 3)) / arrays["tumour"].sum()
    dead = 1 - arrays["viable"].sum((1, 2, 3)) / arrays["tumour_after"].sum((1, 2, 3))
    assert (dead[fed < 0.02] < 0.05).all()


def test_the_head_learns_from_what_can_be_foreseen() -> None:
    seed = SPLITS["train"][0]
    scan, maps = encode_map_scan(seed, AGENTS), encode_maps(seed, AGENTS, sessions=1)
    assert np.isfinite(scan["appearance"]).all()
    assert np.array_equal(scan["noted_responses"], maps["noted_responses"])
    assert scan["noted_responses"].shape == (48, 4)


def test_batches_hide_and_crop(maps_cohort: Path) -> None:
    data = MapCohort(maps_cohort / "train")
    batch = data.batch(16, np.random.default_rng(0), 2, 24)
    given = batch.given
    assert batch.clean.shape == (16, ASKED, 24, 24, 24)
    sums = batch.weight.sum((2, 3, 4))
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    assert (given.fed[given.session[:, 3] == 0] == 0).all()
    assert (given.response[given.hidden] == 0).all()
    assert 0 < given.hidden.sum() < 16 or not given.hidden.any()
    plain = Batch.of([whole_row(p) for p in data.patients if p["hu"].shape == (24, 24, 24)], None)
    assert not plain.given.hidden.any()
    assert (plain.given.session[:, 3] == 1).all()
    both = joined(batch, plain)
    assert len(both) == 16 + len(plain)
    with pytest.raises(InputError, match="no patients to train on"):
        MapCohort(maps_cohort)


def test_a_crop_lies_in_the_region_and_touches_tumour() -> None:
    tumour = np.zeros((40, 40, 40), np.float16)
    tumour[30:36, 2:8, 20:24] = 1
    for seed in range(20):
        part = crop_of(tumour, 24, np.random.default_rng(seed))
        assert tumour[part].shape == (24, 24, 24)
        assert tumour[part].any()


def test_a_run_resumes_and_learns(maps_cohort: Path, tmp_path: Path) -> None:
    first, _ = train_maps(maps_cohort, tmp_path, SMALL)
    again, _ = train_maps(maps_cohort, tmp_path, SMALL)  # nothing is left to do
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    more, figures = train_maps(maps_cohort, tmp_path, MapTraining(**{**vars(SMALL), "steps": 12}))
    assert figures["steps"] == 12
    batch = MapCohort(maps_cohort / "train").batch(8, np.random.default_rng(5), 2, 24)
    losses = []
    for network in (first, more):
        with torch.no_grad():
            losses.append(float(maps_loss(network, batch, torch.Generator().manual_seed(0), SMALL)[0]))
    assert losses[1] < losses[0]


def test_a_shuffled_batch_tells_other_protocols_of_the_same_patients(maps_cohort: Path) -> None:
    batch = MapCohort(maps_cohort / "train").batch(4, np.random.default_rng(0), 1, 24)
    other = shuffled(batch)
    assert torch.equal(other.given.actions[1], batch.given.actions[0])
    assert torch.equal(other.clean, batch.clean)
    assert torch.equal(other.given.seen, batch.given.seen)


def test_fine_tuning_keeps_the_best_on_pairs_that_are_held_out(
    maps_cohort: Path, like_real: list[Arrays], tmp_path: Path
) -> None:
    pairs = like_real
    torch.manual_seed(0)
    network = MapNetwork(MapConfig((8, 8), 16))
    ready = RealPairs(pairs, network)
    whole = ready.whole()
    assert torch.isfinite(whole[1].clean).all()
    assert float(whole[1].weight[:, 0].sum()) == 0  # nobody knows what is viable
    liver = ready.patients[1]["liver"] > 0.99
    assert abs(float(np.median(ready.patients[1]["change"][0][liver]))) < 5
    one, two = {"A": pairs[0]}, {"B": pairs[1]}
    settings = FineTuning(steps=5, every=2, rows=2, drawn_rows=2)
    found, told = fine_tune(network, one, two, maps_cohort / "train", settings, tmp_path / "held out")
    errors = told["error"]
    assert list(errors) == [0, 2, 4, 5]  # the end is looked at too
    assert errors[told["best_step"]] == min(errors.values())
    assert pair_errors(found, whole[1:])[0] == pytest.approx(min(errors.values()), rel=1e-5)
    assert told["pairs"] == {"B": {"start": errors[0], "best": min(errors.values())}}
    again, same = fine_tune(network, one, two, maps_cohort / "train", settings, tmp_path / "held out")
    assert {**same, "seconds": 0} == {**told, "seconds": 0}  # nothing is left to do
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), again.parameters(), strict=True))
    with pytest.raises(InputError, match="other settings"):  # who is held out may not change within a run
        fine_tune(network, two, one, maps_cohort / "train", settings, tmp_path / "held out")
    two_steps = FineTuning(steps=2, rows=2, drawn_rows=2)
    _, alone = fine_tune(network, one | two, {}, maps_cohort / "train", two_steps, tmp_path / "alone")
    assert alone["best_step"] == 2 and alone["error"] == alone["pairs"] == {}
    with pytest.raises(InputError, match="no real pairs"):
        RealPairs([], network)
