"""Survival on patients as coarse maps: risks by the law, images of the maps, the plain model, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.bundles import open_bundle
from MeWMLib.core.coarse_maps import MAP_MM
from MeWMLib.core.errors import InputError
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.dynamics.actions import encode_protocols, known_agents
from MeWMLib.lab.evaluation.survival_study import evaluate_on_maps
from MeWMLib.lab.linear_cox import LinearCox
from MeWMLib.lab.synthetic.survival import true_log_risk
from MeWMLib.lab.training.__main__ import main
from MeWMLib.lab.training.map_cohort import encode_maps, session_protocols
from MeWMLib.lab.training.prepare import save_case
from MeWMLib.lab.training.survival_data import one_per_patient, outcomes
from MeWMLib.lab.training.survival_study import FORMS, PLAIN, MapPatient, MapPatients, train_on_maps
from MeWMLib.survival.network import Assessor

SIDE, SESSIONS = 24, 2
NETWORK = FORMS["network"]


def fake(path: Path, seed: int, share: tuple[float, ...] = (0.8, 0.1), left: float = 1.0) -> Path:
    """Arrays as `encode_maps` has them: a ball of which shares live after two sessions, and nothing is drawn."""
    index = np.stack(np.indices((SIDE,) * 3), -1)
    tumour = (np.linalg.norm(index - 11.5, axis=-1) < 4 + seed % 5 / 2).astype(np.float16)
    after = np.stack([np.float16(left) * tumour] * SESSIONS)
    viable = np.stack([np.float16(s * left) * tumour for s in share])
    save_case(
        path / f"{seed:06d}.npz",
        {
            "hu": np.full(tumour.shape, 100, np.float16), "tumour": tumour, "viable": viable, "tumour_after": after,
            "change": -30 * (after - viable), "iodine": np.zeros_like(after), "weeks": np.array([4.0, 8.0], np.float32),
            "arterial": np.bool_(seed % 2), "noise": np.float32(0), "seed": np.int64(seed),
        },
    )  # fmt: skip
    return path / f"{seed:06d}.npz"


def fakes(folder: Path, first: int, count: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(first)
    for seed in range(first, first + count):
        fake(folder, seed, tuple(rng.uniform(0, 1, 2)), rng.uniform(0.5, 1))
    return folder


def test_protocols_of_a_cohort_are_told_again_and_risks_are_the_laws(tmp_path: Path) -> None:
    seed = 3
    arrays = encode_maps(seed, known_agents(), SESSIONS)
    patient, protocols = session_protocols(seed, SESSIONS)
    assert np.array_equal(encode_protocols(protocols, known_agents()).numpy(), arrays["actions"])
    save_case(tmp_path / "3.npz", arrays)
    found = MapPatient.read(tmp_path / "3.npz")
    for n, protocol in enumerate(protocols):
        ml = float(arrays["viable"][n].astype(float).sum()) * MAP_MM**3 / 1000
        assert found.risks[n] == pytest.approx(true_log_risk(ml, patient.response(protocol)), abs=1e-6)
        assert np.expm1(found.sizes[n, 3]) == pytest.approx(ml, rel=1e-4, abs=1e-4)
        assert found.weeks[n] == arrays["weeks"][n]


def test_images_show_what_the_maps_say_and_the_session_is_known(tmp_path: Path) -> None:
    patient = MapPatient.read(fake(tmp_path, 1, (0.8, 0.0)))
    before, dead = patient.image(1, False), patient.image(1, True)
    low, high = CT_WINDOW_HU
    hu = (dead[0].astype(float) + 1) / 2 * (high - low) + low
    middle = (24, 24, 24)
    assert before.shape == dead.shape == (2, 48, 48, 48)
    assert hu[middle] == pytest.approx(70, abs=2)
    assert before[1][middle] == dead[1][middle] == 1
    assert before[1].sum() * 2**3 / MAP_MM**3 == pytest.approx(np.load(patient.path)["tumour"].sum(), rel=0.05)
    first, second = patient.cases(1, NETWORK, [(10.0, True), (3.0, False)])
    assert first.post is second.post and (second.months, second.event) == (3.0, False)
    late = first.covariates
    told = dict(zip(NETWORK.covariates, late, strict=True))
    assert told == pytest.approx(dict(zip(told, [*patient.sizes[1], np.log(8.0), 1.0], strict=True)))
    assert np.asarray(first.post).shape == (5, 2, 32, 32, 32)
    ((one,), (other,)) = (patient.cases(n, FORMS[PLAIN], [(1.0, True)]) for n in (0, 1))
    assert not np.asarray(one.post).any() and one.post is not other.post


def test_the_plain_model_is_the_cox_model_of_the_viable_volume(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    fakes(cohort / "train", 0, 40)
    fakes(cohort / "validation", 1000, 24)
    metrics = train_on_maps(cohort, tmp_path / "work", tmp_path / "bundle", 5, 0, None, form=PLAIN)
    assessor = Assessor(*open_bundle(tmp_path / "bundle", require=("survival",)).part("survival"))
    assert not assessor.config.images and metrics["steps"] == 0
    nothing = np.zeros((5, 2, 16, 16, 16))
    risks = [assessor.judge(nothing, nothing, {"log1p_viable_ml_after": x}).log_risk for x in (0.0, 1.0, 2.0)]
    slope = np.diff(risks)
    cases = one_per_patient(list(MapPatients(cohort / "train").cases(FORMS[PLAIN])))
    alone = LinearCox.fit(np.stack([c.covariates for c in cases]).astype(float), *outcomes(cases), ridge=0.0)
    # calibrated on other patients, and held back a little
    assert slope[0] == pytest.approx(slope[1], rel=1e-3)
    assert slope[0] == pytest.approx(metrics["slope"] * alone.coefficients[0], rel=0.15)
    rows = evaluate_on_maps(assessor, MapPatients(cohort / "train").all, MapPatients(cohort / "validation").all)
    assert list(rows)[:2] == ["mewm", "volume_cox"]
    assert rows["viable_volume_cox"]["c_index_behind_mewm"]["mean"] == pytest.approx(0, abs=1e-9)
    assert rows["oracle"]["c_index_lives"]["mean"] >= rows["mewm"]["c_index_lives"]["mean"] - 0.02


def test_what_cannot_be_trained_or_measured_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="No patients as coarse maps"):
        _ = MapPatients(tmp_path).all
    few = MapPatients(fakes(tmp_path / "few", 0, 2)).all
    with pytest.raises(InputError, match="Too few patients"):
        evaluate_on_maps(None, few, few)  # type: ignore[arg-type]
    words = ["survival", "--plain", "--cohort", "c", "--work", "w", "--bundle", "b"]
    assert main(words) == 2
    assert "version 3 of the world only" in capsys.readouterr().err
