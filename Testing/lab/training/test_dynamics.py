"""Training of the denoiser, at a size that takes seconds (the assistant: test_assistant.py)."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.core.protocol import Protocol, agents_of
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.autoencoder import fit
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.maps import MASKS
from MeWMLib.dynamics.model import DynamicsModel, denoiser_from_part
from MeWMLib.dynamics.response import FEATURES
from MeWMLib.lab.reports import embed_reports
from MeWMLib.lab.synthetic import cases as cohort
from MeWMLib.lab.training import dynamics
from MeWMLib.lab.training.checkpoint import AveragedModel
from MeWMLib.lab.training.dynamics import DynamicsTraining
from MeWMLib.policy import rules

AGENTS = known_agents()
TINY = DynamicsTraining(widths=(8, 8), condition=16, batch=4, pairs=2)
#: The planted cohort is drawn without a codec, so that no block dies and there is no fate to fit.
UNTOLD = replace(TINY, response=False, fate=False)


def weights(trained: dynamics.TrainedDenoiser) -> np.ndarray:
    return np.concatenate([v.ravel() for v in trained.tensors().values()])


def one_batch(planted: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    data = dynamics.LatentCohort(planted / "train")
    data.expect(AGENTS, {})
    return data.batch(4, np.random.default_rng(seed), pairs=2)


def loss_of(model: Denoiser, batch: dict[str, torch.Tensor], settings: DynamicsTraining) -> dict[str, float]:
    with torch.no_grad():
        scale = torch.ones(1, 4, 1, 1, 1)
        total, parts = dynamics.flow_loss(model, batch, scale, torch.Generator().manual_seed(0), settings)
    return {"total": float(total), **parts}


def small_model() -> Denoiser:
    torch.manual_seed(0)
    model = Denoiser(DenoiserConfig(latent=4, widths=(8, 8), condition=16, text=5), torch.randn(len(AGENTS), 5))
    torch.nn.init.normal_(model.head[-1].weight, std=0.3)  # begins at zero, which would hide every input
    torch.nn.init.normal_(model.up[0].conv2.weight, std=0.3)
    return model.eval()


def test_the_denoiser_learns_what_the_action_does(planted: Path) -> None:
    settings = replace(TINY, steps=100, learning_rate=5e-3, average=0.9, contrastive_weight=0.0)
    trained, figures = dynamics.train(planted, planted / "work", settings)
    assert figures["validation"] < 0.5 * figures["validation_shuffled"]
    assert figures["head_viable_rank"] > 0.9
    assert len(trained.part_config()["change_scale"]) == 4
    assert (planted / "work" / "dynamics.csv").read_text().startswith("step,seconds,loss")


def test_one_seed_trains_to_the_same_weights_and_another_to_others(planted: Path) -> None:
    one, _ = dynamics.train(planted, planted / "1", replace(TINY, steps=2))
    two, _ = dynamics.train(planted, planted / "2", replace(TINY, steps=2))
    other, _ = dynamics.train(planted, planted / "3", replace(TINY, steps=2, seed=1))
    assert weights(one).tobytes() == weights(two).tobytes() != weights(other).tobytes()


@pytest.mark.parametrize("off", ["contrastive_weight", "response_weight"])
def test_a_loss_of_another_weight_trains_to_other_weights(planted: Path, off: str) -> None:
    # the U-Net is told the response only where a head is trained: that one is not turned off, but doubled
    tiny, other = (UNTOLD, 2 * TINY.response_weight) if off == "response_weight" else (TINY, 0.0)
    whole, _ = dynamics.train(planted, planted / "whole", replace(TINY, steps=3))
    without, _ = dynamics.train(planted, planted / "without", replace(TINY, steps=3, **{off: other}))
    assert np.abs(weights(whole) - weights(without)).max() > 1e-6
    part = off.removesuffix("_weight")
    batch, model = one_batch(planted), small_model()
    on, gone = loss_of(model, batch, tiny), loss_of(model, batch, replace(tiny, **{off: 0.0}))
    assert part in on and part not in gone and on["flow"] == gone["flow"]
    assert on["total"] - gone["total"] == pytest.approx(getattr(TINY, off) * on[part], rel=1e-3)


def test_the_head_can_be_trained_first_and_is_then_kept(planted: Path) -> None:
    settings = replace(TINY, steps=2, head_steps=40, learning_rate=2e-2)
    trained, _ = dynamics.train(planted, planted / "w", settings)
    more, figures = dynamics.train(planted, planted / "w", replace(settings, steps=50))
    one, two = trained.tensors(), more.tensors()
    head = [k for k in one if k.startswith("foresight.")]
    assert head and all(np.array_equal(one[k], two[k]) for k in head)
    assert not np.array_equal(one["stem.weight"], two["stem.weight"])
    assert figures["head_viable_r2"] > 0.9 and figures["head_viable_rank"] > 0.9
    assert len(trained.part_config()["response_spread"]) == 6


def test_the_head_learns_from_scans_without_outcomes(planted: Path) -> None:
    """The law of the scans is another one than that of the cohort; the head follows the many."""
    scans = planted / "scans"
    scans.mkdir()
    for n, path in enumerate([p for p in sorted((planted / "train").glob("*.npz")) for _ in range(8)]):
        with np.load(path) as data:
            kept = {k: data[k] for k in ("appearance", "noted_actions", "noted_responses")}
        kept["noted_responses"] = kept["noted_responses"][::-1]  # what each protocol does is exchanged
        np.savez(scans / f"{n}.npz", **kept)
    settings = replace(TINY, steps=1, head_steps=40, learning_rate=2e-2)
    _, against = dynamics.train(planted, planted / "against", replace(settings, steps=50))
    # scans of the validation split are measured with, and not learnt from
    scans.rename(planted / "scans_validation")
    _, measured = dynamics.train(planted, planted / "measured", replace(settings, steps=50))
    shutil.rmtree(planted / "scans_validation")
    _, alone = dynamics.train(planted, planted / "alone", replace(settings, steps=50))
    assert alone["head_viable_rank"] > 0.9 > -0.9 > against["head_viable_rank"]
    assert measured["head_viable_rank"] < -0.9


@pytest.mark.parametrize("off", ["text", "attenuation", "response"])
def test_an_input_that_is_turned_off_leaves_the_network(planted: Path, off: str) -> None:
    whole, _ = dynamics.train(planted, planted / "whole", replace(TINY, steps=1))
    without, _ = dynamics.train(planted, planted / "without", replace(TINY, steps=1, fate=False, **{off: False}))
    assert whole.part_config()[off] and not without.part_config()[off]
    fewer = {k: v.shape for k, v in without.tensors().items()}
    shapes = {k: v.shape for k, v in whole.tensors().items()}
    if off == "text":
        assert "actions.phi" in shapes and "actions.phi" not in fewer
    elif off == "response":
        assert shapes["stem.weight"][1] - fewer["stem.weight"][1] == FEATURES
    else:
        assert shapes["stem.weight"][1] - fewer["stem.weight"][1] == 4


def test_the_loss_reads_the_actions_and_the_attenuated_image(planted: Path) -> None:
    batch, model = one_batch(planted), small_model()
    quiet = replace(TINY, action_dropout=0.0)
    told = loss_of(model, batch, quiet)["flow"]
    assert loss_of(model, {**batch, "actions": batch["actions"].roll(1, 0)}, quiet)["flow"] != told
    assert loss_of(model, {**batch, "attenuated": batch["attenuated"] + 1}, quiet)["flow"] != told


def test_action_blind_training_sees_no_action_no_level_and_no_response(planted: Path) -> None:
    batch, model = one_batch(planted), small_model()
    blind = replace(TINY, action_blind=True)
    others = {
        **batch,
        "actions": batch["actions"].flip(1),
        "attenuated": batch["attenuated"] - 3,
        "responses": batch["responses"] + 1,
        "noted_actions": batch["noted_actions"].flip(2),
    }
    assert loss_of(model, batch, blind) == loss_of(model, others, blind)
    assert set(loss_of(model, batch, blind)) == {"total", "flow"}
    trained, figures = dynamics.train(planted, planted / "blind", replace(blind, steps=50))
    assert figures["validation"] == figures["validation_shuffled"]


def test_a_batch_holds_the_protocols_of_few_patients(planted: Path) -> None:
    batch = one_batch(planted)
    assert batch["pair"].tolist() == [0, 0, 1, 1]
    assert batch["change"].shape == batch["attenuated"].shape == (4, 4, 16, 16, 16)
    assert batch["whole_before"].shape[0] == 2 and batch["noted_actions"].shape == (2, 24, len(AGENTS), 3)
    # Agent 0 raises, agent 1 lowers the latent of the tumour.
    sign = batch["change"][:, 0, 8, 8, 8]
    assert torch.equal(sign > 0, batch["actions"][:, 0, 0] > 0)


def test_the_attenuated_image_is_that_of_the_stated_or_of_the_expected_level(planted: Path) -> None:
    data = dynamics.LatentCohort(planted / "train")
    embolic = [a for a in AGENTS if a in agents_of("embolic")]
    for p in data.patients:
        p["levels"][:] = 4
    data.expect(AGENTS, dict.fromkeys(embolic, 0.3))
    for p in data.patients:
        p["expected"][:] = 2
    seen = set()
    for seed in range(8):
        batch = data.batch(4, np.random.default_rng(seed), pairs=2)
        depth = (batch["attenuated"] - batch["before"])[:, 0, 8, 8, 8]
        seen |= {round(float(d), 1) for d in depth}
    assert seen == {-0.4, -0.2}  # -0.1 a level


def test_how_much_an_embolic_stops_is_the_mean_over_where_it_was_alone(planted: Path) -> None:
    data = dynamics.LatentCohort(planted / "train")
    names = ["Cisplatin", "Lipiodol", "PVA", *["Doxorubicin"] * (len(AGENTS) - 3)]
    for n, p in enumerate(data.patients):
        p["actions"] = np.zeros((2, len(AGENTS), 3), np.float32)
        p["actions"][0, [0, 1], 0] = 1  # one embolic behind a drug
        p["actions"][1, [1, 2], 0] = 1  # two of them: says nothing of either
        p["levels"] = np.array([1 + n % 2 * 2, 4])
    assert data.occlusion(names) == {"Lipiodol": pytest.approx((0.125 + 0.625) / 2)}


def test_accumulated_batches_make_one_step(planted: Path) -> None:
    trained, figures = dynamics.train(planted, planted / "w", replace(TINY, steps=2, accumulate=3))
    plain, _ = dynamics.train(planted, planted / "p", replace(TINY, steps=2))
    state = torch.load(planted / "w" / "dynamics.pt", weights_only=True)
    assert figures["steps"] == 2 and state["optimiser"]["state"][0]["step"] == 2
    assert np.abs(weights(trained) - weights(plain)).max() > 1e-6


def test_the_gradient_of_accumulated_batches_is_their_mean(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the same batch drawn twice with the same noise, one step of two batches is the step of one."""
    fixed = one_batch(planted)
    monkeypatch.setattr(dynamics.LatentCohort, "batch", lambda *a, **k: fixed)
    whole = dynamics.flow_loss

    def same_noise(model, batch, scale, generator, settings, channels=None):
        return whole(model, batch, scale, torch.Generator().manual_seed(5), settings, channels)

    clip, norms = torch.nn.utils.clip_grad_norm_, []

    def noted_clip(parameters, limit):
        norms.append(float(clip(parameters, limit)))  # before clipping; Adam itself does not feel a factor

    monkeypatch.setattr(dynamics, "flow_loss", same_noise)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", noted_clip)
    # without the head, whose dropout differs from batch to batch
    one, _ = dynamics.train(planted, planted / "one", replace(UNTOLD, steps=2))
    two, _ = dynamics.train(planted, planted / "two", replace(UNTOLD, steps=2, accumulate=2))
    assert norms[0] > 0 and norms[2:] == pytest.approx(norms[:2], rel=1e-3)
    assert np.allclose(weights(one), weights(two), atol=1e-6)


def test_a_stopped_run_resumes_where_it_stopped(planted: Path) -> None:
    dynamics.train(planted, planted / "w", replace(TINY, steps=3))
    before = torch.load(planted / "w" / "dynamics.pt", weights_only=True)
    _, figures = dynamics.train(planted, planted / "w", replace(TINY, steps=5))
    after = torch.load(planted / "w" / "dynamics.pt", weights_only=True)
    assert before["step"] == 3 and after["step"] == 5 == figures["steps"]
    assert after["optimiser"]["state"][0]["step"] == 5


def test_no_patients_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mewm train cohort"):
        dynamics.LatentCohort(tmp_path)


def test_averaged_weights_are_an_average() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data[:] = 0
    average = AveragedModel(model, 0.5)
    seen = 0.0
    for n in range(1, 6):
        model.weight.data[:] = float(n)
        average.update(model)
        decay = min(0.5, (1 + n) / (10 + n))
        seen = decay * seen + (1 - decay) * n
    assert float(average.model.weight) == pytest.approx(seen, rel=1e-6)
    assert not average.model.weight.requires_grad


def test_only_blocks_in_and_around_the_tumour_count_fully() -> None:
    torch.manual_seed(0)
    model = Denoiser(DenoiserConfig(latent=4, widths=(8, 8), condition=16))
    masks = torch.zeros(1, MASKS, 16, 16, 16)
    masks[:, :, 6:10, 6:10, 6:10] = 1
    latent = torch.zeros(1, 4, 16, 16, 16)
    batch = {
        **dict.fromkeys(("before", "attenuated", "whole_before"), latent),
        **dict.fromkeys(("masks", "whole_masks"), masks),
        "spacing": torch.ones(1),
        "pair": torch.zeros(1),
        "actions": torch.zeros(1, len(AGENTS), 3),
        "responses": torch.tensor([[0.5, 0.0, 0.2, 0.0]]),
    }

    def loss(where: slice) -> float:
        change = torch.zeros(1, 4, 16, 16, 16)
        change[:, :, where, where, where] = 1
        settings = replace(UNTOLD, action_dropout=0, response_weight=0, contrastive_weight=0)
        return loss_of(model, {**batch, "change": change}, settings)["total"]  # an untrained head predicts zero

    assert loss(slice(7, 9)) == pytest.approx(20 * loss(slice(1, 3)), rel=1e-4)


def test_a_network_can_be_told_of_the_treatment_by_reports(
    planted: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    """The baseline textomorph: no agent is named to it but in the text of a report."""

    def encode(texts):
        words = ("Raltitrexed", "Epirubicin", "artery", "injected")
        return np.array([[text.count(w) + 0.1 * n for n, w in enumerate(words)] for text in texts], np.float32)

    monkeypatch.setattr(DynamicsModel, "describe", None)  # evaluations provide one for the whole process
    monkeypatch.setattr(dynamics, "sentence_encoder", lambda: encode)
    textomorph = json.loads((repository / "Resources/Configs/textomorph.json").read_text(encoding="utf-8"))
    settings = replace(TINY, **textomorph)
    settings = replace(settings, steps=100, learning_rate=5e-3, average=0.9)
    trained, figures = dynamics.train(planted, planted / "work", settings)
    assert figures["validation"] < 0.5 * figures["validation_shuffled"]
    config = trained.part_config()
    assert config["reports"] == 4 and not config["response"] and config["text"] == 0
    again = denoiser_from_part(config, trained.tensors())
    patch_model = DynamicsModel(
        fit(torch.randn((400, 64), generator=torch.Generator().manual_seed(0)), 4), again, torch.device("cpu")
    )
    labels = np.ones((64, 64, 64), np.uint8)
    labels[20:40, 20:40, 20:40] = 2
    patch = patch_model.encode(np.random.default_rng(0).normal(100, 20, labels.shape), labels, 1.0)
    protocols = [Protocol.parse("Raltitrexed"), Protocol.parse("Epirubicin")]
    with pytest.raises(DependencyError, match="reads reports"):
        patch_model.simulate(patch, protocols, [1, 1], steps=1)
    patch_model.describe = lambda given: embed_reports(given, encode)
    one, two = patch_model.simulate(patch, protocols, [1, 1], steps=1)
    assert np.abs(one - two).max() > 1


def test_splits_share_no_patient() -> None:
    ranges = list(cohort.SPLITS.values())
    assert all(not set(a) & set(b) for n, a in enumerate(ranges) for b in ranges[n + 1 :])


def test_training_protocols_keep_the_rules_and_hold_twins_and_partial_ones() -> None:
    seen = set()
    for seed in range(30):
        protocols = cohort.protocols_for(SyntheticPatient.draw(seed))
        given, *twins = protocols[:3]
        assert len(protocols) == 8 and given.complete
        for twin in twins:
            assert twin.embolics == given.embolics and twin.drugs != given.drugs and len(twin.drugs) == 1
        assert protocols[6].drugs and not protocols[6].embolics
        assert protocols[7].embolics and not protocols[7].drugs
        assert all(rules.allowed(p) for p in protocols)
        seen |= {a for p in protocols for a in p.agents}
    assert seen == set(agents_of("drug")) | set(agents_of("embolic"))
