"""The response head of a map network: what it learns from, what its spread is, and that it is trained once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.dynamics.map_network import MapConfig, MapNetwork
from MeWMLib.lab.training import map_head
from MeWMLib.lab.training.map_cohort import prepare_split
from MeWMLib.lab.training.map_head import HEAD, noted_rows, session_rows, trained_head
from MeWMLib.lab.training.map_settings import MapTraining
from MeWMLib.lab.training.response_head import standardise

CPU = torch.device("cpu")
TINY = MapTraining(widths=(8,), condition=16, head_steps=5)


def network() -> MapNetwork:
    return MapNetwork(MapConfig((8,), 16)).eval()


def test_the_spread_is_that_of_responses_with_chance(maps_cohort: Path, tmp_path: Path) -> None:
    prepare_split(tmp_path / "c", "validation", 2, scans_only=True)
    for name in ("train", "validation"):
        (tmp_path / "c" / name).symlink_to(maps_cohort / name)
    head = trained_head(tmp_path / "c", tmp_path / "w", network(), TINY, CPU)
    filled = head.put_into(network())
    residuals = []
    for row in session_rows(maps_cohort / "validation"):
        said = filled.head(torch.from_numpy(row["appearance"])[None], torch.from_numpy(row["actions"])[None])
        residuals.append((standardise(torch.from_numpy(row["responses"])) - said).detach().numpy())
    moments = np.mean([np.outer(r, r) for r in np.concatenate(residuals)[:, :2].astype(float)], 0)
    lower = np.zeros((3, 3))
    lower[np.tril_indices(3)] = filled.config.response_spread
    assert (lower @ lower.T)[:2, :2] == pytest.approx(moments, rel=1e-3, abs=1e-3)
    # its figures are those of the scans
    assert len(noted_rows(tmp_path / "c" / "scans_validation")) == 2 and set(head.figures) >= {"head_viable_r2"}


def test_a_scan_and_the_patient_it_is_of_look_alike(maps_cohort: Path, tmp_path: Path) -> None:
    prepare_split(tmp_path, "train", 2, scans_only=True)
    scans, patients = noted_rows(tmp_path / "scans"), noted_rows(maps_cohort / "train")
    for one, other in zip(scans, patients, strict=True):
        assert np.array_equal(one["noted_responses"], other["noted_responses"])
        assert one["appearance"].shape == other["appearance"].shape
        assert np.corrcoef(one["appearance"], other["appearance"])[0, 1] > 0.9  # only the noise differs
        assert "hu" not in other


def test_a_head_is_trained_once(maps_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, before = network(), torch.random.get_rng_state()
    first = trained_head(maps_cohort, tmp_path, sizes, TINY, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    monkeypatch.setattr(map_head, "train_head", lambda *a: pytest.fail("trained twice"))
    again = trained_head(maps_cohort, tmp_path, network(), TINY, CPU)
    assert again.spread == first.spread and again.figures == first.figures and len(first.spread) == 6
    assert all(torch.equal(value, again.weights[name]) for name, value in first.weights.items())
    with pytest.raises(UnreadableFileError, match=rf"(?s)cannot be used.*{HEAD}"):
        trained_head(maps_cohort, tmp_path, MapNetwork(MapConfig((8,), 24)), replace(TINY, condition=24), CPU)
    (tmp_path / HEAD).write_bytes(b"no checkpoint")
    with pytest.raises(UnreadableFileError, match="delete the file"):
        trained_head(maps_cohort, tmp_path, network(), TINY, CPU)


def test_patients_are_needed(maps_cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="(?s)no patients for the response head.*train.*maps-cohort"):
        trained_head(tmp_path, tmp_path / "w", network(), TINY, CPU)
    (tmp_path / "train").symlink_to(maps_cohort / "train")
    with pytest.raises(InputError, match="(?s)no patients for the response head.*validation"):
        trained_head(tmp_path, tmp_path / "w", network(), TINY, CPU)
    assert not (tmp_path / "w").exists()
