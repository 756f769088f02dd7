"""Copies of a plan's volumes in NIfTI and MetaImage: read by other libraries, with one geometry, and marked."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.cli import arguments
from MeWMLib.core import io
from MeWMLib.core.copies import FORMATS, MHA, NIFTI, write_copies
from MeWMLib.core.errors import InputError
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.jobs.verification import FILE, verify
from Testing.core.plan_data import GRID, write_folder

NAMES = {"pre", "pre_labels", "SIMULATED_01", "SIMULATED_01_labels"}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a plan on an oblique grid, with one simulated volume."""
    return write_folder(tmp_path_factory.mktemp("copies") / "plan").path


@pytest.mark.parametrize(("kind", "suffix"), [(NIFTI, ".nii.gz"), (MHA, ".mha")])
def test_copies_are_the_same_volumes_for_other_readers(plan: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    folder = tmp_path / "plan"
    shutil.copytree(plan, folder)
    names = write_copies(PlanFolder(folder), kind)
    assert {Path(n).name.removesuffix(suffix) for n in names if n.endswith(suffix)} == NAMES
    for stem, source in (("pre", "pre.nrrd"), ("SIMULATED_01", "simulated_01.nrrd")):
        one, other = (sitk.ReadImage(str(folder / n)) for n in (f"{kind}/{stem}{suffix}", source))
        assert np.array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))
        assert np.allclose(one.GetDirection(), other.GetDirection(), atol=1e-6)
        assert np.allclose([*one.GetOrigin(), *one.GetSpacing()], [*other.GetOrigin(), *other.GetSpacing()], atol=1e-4)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / kind / f"SIMULATED_01_labels{suffix}")))
    both = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "simulated_01.seg.nrrd")))
    first, second = (both[..., 0], both[..., 1]) if both.ndim == 4 else (both, 0 * both)
    assert np.array_equal(labels, np.where(second > 0, second, first))
    told = json.loads((folder / kind / "SIMULATED_01_labels.json").read_text())
    assert told["simulated"] is True and told["labels"]["1"] == "Liver" and told["protocol"]
    # checked like every other file
    assert not [one for one in verify(folder).findings if one.wrong and one.topic == FILE]
    file = folder / kind / f"pre{suffix}"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert any(file.name in one.text for one in verify(folder).findings if one.wrong)


def header(file: Path) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Affines by sform and by qform, and the text, of a NIfTI-1 file, by the standard alone."""
    raw = gzip.decompress(file.read_bytes())[:348]
    (size,) = struct.unpack_from("<i", raw, 0)
    q_code, s_code = struct.unpack_from("<2h", raw, 252)
    assert size == 348 and q_code > 0 and s_code > 0
    b, c, d, x, y, z = struct.unpack_from("<6f", raw, 256)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    pixdim = struct.unpack_from("<8f", raw, 76)
    scaled = turn * (np.array(pixdim[1:4]) * [1, 1, -1 if pixdim[0] < 0 else 1])
    qform = np.column_stack([scaled, [x, y, z]])
    return np.reshape(struct.unpack_from("<12f", raw, 280), (3, 4)), qform, raw[148:228]


def test_nifti_has_one_geometry_and_says_that_it_is_simulated(plan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    shutil.copytree(plan, folder)
    write_copies(PlanFolder(folder), NIFTI)
    for stem in NAMES:
        file = folder / NIFTI / f"{stem}.nii.gz"
        sform, qform, text = header(file)
        assert np.allclose(sform, qform, atol=1e-4)
        assert np.allclose(sform, GRID.affine[:3], atol=1e-4)
        marked = text.startswith(b"SIMULATED")
        assert marked == stem.startswith("SIMULATED")
        if "labels" not in stem:
            assert (io.read_volume(file).simulated is not None) == marked


def test_metaimage_keeps_the_whole_provenance(plan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    shutil.copytree(plan, folder)
    write_copies(PlanFolder(folder), MHA)
    known = io.read_volume(folder / "simulated_01.nrrd").simulated
    assert known is not None and io.read_volume(folder / "mha" / "SIMULATED_01.mha").simulated == known


def test_formats_that_are_not_written(plan: Path) -> None:
    assert write_copies(PlanFolder(plan), "nrrd") == []
    with pytest.raises(InputError, match="not written in this format"):
        write_copies(PlanFolder(plan), "minc")
    for kind in FORMATS:
        assert arguments.parse(["plan", "x", "--out", "y", "--format", kind]).format == kind
    with pytest.raises(SystemExit):
        arguments.parse(["plan", "x", "--out", "y", "--format", "minc"])
