"""Encoded patients: what training reads of them is what the world's law and the codec say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.cohorts.synthetic.law import Response, respond
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.actions import encode_protocols, known_agents
from MeWMLib.dynamics.appearance import features
from MeWMLib.dynamics.attenuation import attenuate
from MeWMLib.dynamics.autoencoder import Autoencoder, fit
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.synthetic.cases import SPLITS, Case, draw_case
from MeWMLib.lab.synthetic.survival import attenuation_level
from MeWMLib.lab.training import prepare
from MeWMLib.lab.training.latent_cohort import KEYS, NOTED, LatentCohort, read_arrays
from MeWMLib.lab.training.response_head import RESPONSES

SEED = 3


@pytest.fixture(scope="module")
def case() -> Case:
    """A patient on a patch of 48 voxels, with two outcomes."""
    whole = draw_case(SEED, size=48)
    return replace(whole, protocols=whole.protocols[:2], after=whole.after[:2], true_log_risk=whole.true_log_risk[:2])


@pytest.fixture(scope="module")
def codec() -> Autoencoder:
    return fit(torch.randn((2000, 64), generator=torch.Generator().manual_seed(0)), 6)


@pytest.fixture(scope="module")
def arrays(case: Case, codec: Autoencoder) -> dict[str, np.ndarray]:
    return prepare.encode_case(case, codec, known_agents())


def test_responses_are_logs_and_shares_of_the_answer() -> None:
    answer = Response(0.5, 0.4, necrosis=0.75, shrinkage=0.2, lipiodol=0.6, new_lesion=0.1, toxicity=0.05)
    found = dict(zip(RESPONSES, prepare.responses(answer), strict=True))
    expected = {"necrosis": 0.75, "log_volume": np.log(0.8), "lipiodol": 0.45, "viable": np.log(0.8 * 0.25 + 0.02)}
    assert found == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(prepare.responses(replace(answer, necrosis=1.0))).all()


def test_a_file_holds_all_that_training_reads(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert set(arrays) >= {*KEYS, *NOTED}
    assert arrays["before"].shape == (6, 12, 12, 12) and arrays["changes"].shape == (2, 6, 12, 12, 12)
    assert arrays["attenuated"].shape == (4, 6, 12, 12, 12) and arrays["masks"].shape == (2, 12, 12, 12)
    assert arrays["responses"].shape == (2, 4) and arrays["levels"].shape == (2,)
    agents = len(known_agents())
    assert arrays["noted_actions"].shape == (prepare.NOTED, agents, 3)
    assert arrays["noted_responses"].shape == (prepare.NOTED, 4)
    prepare.save_case(tmp_path / "3.npz", arrays)
    assert [p.name for p in tmp_path.iterdir()] == ["3.npz"]
    batch = LatentCohort(tmp_path).batch(2, np.random.default_rng(0), pairs=1)
    assert all(v.isfinite().all() for v in batch.values())


def test_the_attenuated_latents_are_those_that_the_model_asks_for(
    case: Case, codec: Autoencoder, arrays: dict[str, np.ndarray]
) -> None:
    before = codec.encode(torch.from_numpy(case.before.hu)[None, None])[0]
    for level in (1, 2, 3, 4):
        hu = attenuate(case.before.hu, case.before.labels, level, case.spacing_mm)
        there = codec.encode(torch.from_numpy(hu)[None, None])[0]
        assert np.allclose(arrays["attenuated"][level - 1], (there - before).numpy(), atol=1e-2, rtol=1e-2)
    assert np.abs(arrays["attenuated"][3]).max() > np.abs(arrays["attenuated"][0]).max() > 0


def test_levels_and_responses_are_the_laws(case: Case, arrays: dict[str, np.ndarray]) -> None:
    patient = SyntheticPatient.draw(SEED)
    for n, protocol in enumerate(case.protocols):
        answer = patient.response(protocol)
        assert arrays["levels"][n] == attenuation_level(answer)  # both hold an embolic
        assert np.array_equal(arrays["responses"][n], prepare.responses(answer))
    assert np.array_equal(arrays["actions"], encode_protocols(case.protocols, known_agents()).numpy())


def test_without_an_embolic_the_level_is_not_assessed(codec: Autoencoder) -> None:
    whole = draw_case(SEED, size=16)
    drugs = next(n for n, p in enumerate(whole.protocols) if not p.embolics)
    assert prepare.encode_case(whole, codec, known_agents())["levels"][drugs] == 0


def test_noted_answers_belong_to_the_noted_protocols(arrays: dict[str, np.ndarray]) -> None:
    """Oil stays only where Lipiodol was given."""
    oil = RESPONSES.index("lipiodol")
    given = arrays["noted_actions"][:, known_agents().index("Lipiodol"), 0] > 0
    assert given.any() and not given.all()
    assert (arrays["noted_responses"][given, oil] > 0).all() and not arrays["noted_responses"][~given, oil].any()


def test_a_scan_without_outcomes_is_the_patient_of_the_whole_case(codec: Autoencoder, tmp_path: Path) -> None:
    agents = known_agents()
    whole = prepare.encode_case(draw_case(SEED), codec, agents)
    scan = prepare.encode_scan(SEED, codec, agents)
    assert set(scan) == {"appearance", "noted_actions", "noted_responses", "seed"}
    assert all(np.array_equal(scan[k], whole[k]) for k in ("appearance", "noted_actions", "seed"))
    # the law without what nobody can foresee
    foreseen = replace(SyntheticPatient.draw(SEED).traits, response_noise=0.0, volume_noise=0.0)
    answers = [prepare.responses(respond(foreseen, p)) for p in prepare.noted_protocols(SEED)]
    assert np.array_equal(scan["noted_responses"], np.stack(answers))
    assert not np.allclose(scan["noted_responses"], whole["noted_responses"], atol=0.01)
    for split, folder in (("train", "scans"), ("validation", "scans_validation")):
        prepare.prepare(codec, agents, tmp_path, split, SEED + 1, SEED, scans_only=True)
        name = f"{SPLITS[split][SEED]:06d}.npz"
        assert [p.name for p in (tmp_path / folder).iterdir()] == [name] and not (tmp_path / split).exists()
    with pytest.raises(InputError, match="read from two splits alone"):
        prepare.prepare(codec, agents, tmp_path, "test", 1, scans_only=True)
    read = read_arrays(tmp_path / "scans" / "000003.npz", NOTED)
    assert set(read) == set(NOTED) and read["appearance"].shape == (features(6),)


def test_the_appearance_is_that_which_the_model_reads(
    case: Case, codec: Autoencoder, arrays: dict[str, np.ndarray]
) -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(DenoiserConfig(latent=6, widths=(8, 8), condition=16))
    patch = DynamicsModel(codec, denoiser, torch.device("cpu")).encode(
        case.before.hu, case.before.labels, case.spacing_mm
    )
    assert np.allclose(patch.appearance[0].numpy(), arrays["appearance"], atol=1e-3)
