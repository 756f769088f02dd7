"""Training of the codec, the denoiser and the assistant, at a size that takes seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.cohorts.synthetic import cases as cohort
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import agents_of
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.policy import rules
from MeWMLib.training import assistant, dynamics
from MeWMLib.training.checkpoint import AveragedModel

AGENTS = known_agents()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A planted world: the latent inside the tumour goes up with one agent and down with another."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 6)):
        (tmp_path / split).mkdir()
        for n in range(count):
            before = rng.normal(size=(4, 16, 16, 16)).astype(np.float16)
            masks = np.zeros((2, 16, 16, 16), np.float16)
            masks[0, 5:11, 5:11, 5:11] = 1
            actions = np.zeros((2, len(AGENTS), 3), np.float32)
            actions[0, 0, 0] = actions[1, 1, 0] = 1
            changes = np.stack([masks[0] * s + 0 * before for s in (1.0, -1.0)]).astype(np.float16)
            np.savez(
                tmp_path / split / f"{n}.npz", before=before, changes=changes, masks=masks, actions=actions, spacing=1.0
            )
    return tmp_path


def test_the_denoiser_learns_what_the_action_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = lambda **k: DenoiserConfig(**{**k, "widths": (8, 8), "condition": 16})  # noqa: E731
    monkeypatch.setattr(dynamics, "DenoiserConfig", small)
    settings = dynamics.DynamicsTraining(steps=100, batch=4, learning_rate=5e-3, average=0.9)
    trained, figures = dynamics.train(folder, folder / "work", settings)
    assert figures["validation"] < 0.5 * figures["validation_shuffled"]
    assert len(trained.part_config()["change_scale"]) == 4
    assert (folder / "work" / "dynamics.csv").read_text().startswith("step,seconds,loss")


def test_a_stopped_run_resumes_where_it_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = lambda **k: DenoiserConfig(**{**k, "widths": (8, 8), "condition": 16})  # noqa: E731
    monkeypatch.setattr(dynamics, "DenoiserConfig", small)
    dynamics.train(folder, folder / "w", dynamics.DynamicsTraining(steps=3, batch=2))
    before = torch.load(folder / "w" / "dynamics.pt", weights_only=True)
    _, figures = dynamics.train(folder, folder / "w", dynamics.DynamicsTraining(steps=5, batch=2))
    after = torch.load(folder / "w" / "dynamics.pt", weights_only=True)
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
    masks = torch.zeros(1, 2, 16, 16, 16)
    masks[:, :, 6:10, 6:10, 6:10] = 1
    batch = {
        "before": torch.zeros(1, 4, 16, 16, 16), "masks": masks, "spacing": torch.ones(1),
        "actions": torch.zeros(1, len(AGENTS), 3), "change": torch.zeros(1, 4, 16, 16, 16),
    }  # fmt: skip

    def loss(where: slice) -> float:
        change = torch.zeros(1, 4, 16, 16, 16)
        change[:, :, where, where, where] = 1
        settings = dynamics.DynamicsTraining(action_dropout=0)
        with torch.no_grad():  # an untrained head predicts zero
            rows = {**batch, "change": change}
            return float(
                dynamics.flow_loss(model, rows, torch.ones(1, 4, 1, 1, 1), torch.Generator().manual_seed(0), settings)
            )

    assert loss(slice(7, 9)) == pytest.approx(20 * loss(slice(1, 3)), rel=1e-4)


def test_splits_share_no_patient() -> None:
    ranges = list(cohort.SPLITS.values())
    assert all(not set(a) & set(b) for n, a in enumerate(ranges) for b in ranges[n + 1 :])


def test_training_protocols_keep_the_rules_and_hold_twins_and_partial_ones() -> None:
    seen = set()
    for seed in range(30):
        protocols = cohort.protocols_for(seed)
        given, twin = protocols[:2]
        assert given.complete and twin.embolics == given.embolics and twin.drugs != given.drugs
        assert not protocols[4].embolics and protocols[4].drugs
        assert all(rules.allowed(p) for p in protocols)
        seen |= {a for p in protocols for a in p.agents}
    assert seen == set(agents_of("drug")) | set(agents_of("embolic"))


def test_a_crop_is_a_number() -> None:
    hu, labels = assistant.draw_crop(3, 32)
    again, _ = assistant.draw_crop(3, 32)
    assert np.array_equal(hu, again) and hu.shape == labels.shape == (32, 32, 32)
    assert hu.dtype == np.float32 and set(np.unique(labels)) <= {0, 1, 2}
    assert not np.array_equal(hu, assistant.draw_crop(4, 32)[0])


@pytest.mark.slow
def test_the_assistant_trains_and_resumes(tmp_path: Path) -> None:
    settings = assistant.AssistantTraining(steps=2, batch=1, side=32)
    monkey = assistant.validate
    assistant.validate = lambda model, count, side: monkey(model, 1, 32)  # one crop is enough here
    try:
        trained, figures = assistant.train(tmp_path, settings)
        _, more = assistant.train(tmp_path, assistant.AssistantTraining(steps=3, batch=1, side=32))
    finally:
        assistant.validate = monkey
    assert figures["steps"] == 2 and more["steps"] == 3
    assert 0 <= figures["dice_liver"] <= 1
    assert trained.segment(np.zeros((40, 40, 40), np.float32)).shape == (40, 40, 40)
