"""`mewm evaluate registration`: the error of a known map, and the checkerboard."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.errors import InputError
from MeWMLib.core.io import read_volume, write_labels, write_volume
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation import registration
from MeWMLib.lab.evaluation.__main__ import main
from MeWMLib.lab.evaluation.registration import RegistrationSettings, checkerboard
from MeWMLib.perception.registration import Registered, Registration


def test_the_error_is_that_of_the_map() -> None:
    geometry = Geometry((10, 12, 14), np.diag([-2.0, -2.0, 3.0, 1.0]))
    labels = LabelMap(np.ones(geometry.shape, np.uint8), geometry)
    true = sitk.TranslationTransform(3, (3.0, 4.0, 0.0))
    inverse = sitk.TranslationTransform(3, (-3.0, -4.0, 0.0))
    assert registration._error(labels, true, inverse) == pytest.approx(0, abs=1e-9)
    assert registration._error(labels, true, sitk.Transform(3, sitk.sitkIdentity)) == pytest.approx(5)


def test_fields_of_the_checkerboard_come_from_both() -> None:
    board = checkerboard(np.zeros((40, 40), np.float32), np.ones((40, 40), np.float32), (1.75, 3.5))
    assert board[0, 0] == 0 and board[0, 10] == 1 and board[20, 0] == 1 and board[20, 10] == 0
    assert board.mean() == pytest.approx(0.5)


def test_nothing_to_register_is_said(tmp_path) -> None:
    with pytest.raises(InputError, match="nothing to register"):
        next(registration.known_pairs(RegistrationSettings()))
    assert main(["registration", "--out", str(tmp_path)]) == 2


def test_the_dice_counts_the_slices_that_are_asked_for(tmp_path) -> None:
    geometry = Geometry((12, 30, 30), np.diag([-3.0, -3.0, 4.0, 1.0]))
    liver = np.zeros(geometry.shape, np.uint8)
    liver[2:10, 8:22, 8:22] = 1
    wrong = liver.copy()
    wrong[7:, 8:22, 8:22] = 0  # as a mask that is poor at the dome
    ct = Volume(np.where(liver > 0, 110, -1000).astype(np.int16), geometry)
    write_volume(ct, tmp_path / "ct.nrrd")
    for name, array in (("before", liver), ("after", wrong)):
        write_labels(LabelMap(array, geometry), tmp_path / f"{name}.nrrd")
    files = tuple(str(tmp_path / n) for n in ("ct.nrrd", "before.nrrd", "ct.nrrd", "after.nrrd"))
    still = Registered(ct, np.ones(geometry.shape, bool), sitk.Transform(3, sitk.sitkIdentity), {})
    quality = {k: 0.0 for k in ("liver_mae_hu_after", "liver_correlation_after", "jacobian_folded_share")}
    for slices, expected in ((None, 2 * 5 / 13), ((0, 6), 1.0)):
        (pair,) = registration.known_pairs(RegistrationSettings((files,), slices=slices))
        figures = registration.measure(pair, replace(still, quality=quality), 2.0, 1.0)
        assert figures["dice_liver"] == pytest.approx(expected) and figures["cpu_seconds"] == 1.0
    with pytest.raises(InputError, match="outlined liver"):
        next(registration.known_pairs(RegistrationSettings((files,), slices=(11, 30))))


@pytest.mark.real_data
@pytest.mark.slow
def test_hcc_009_is_brought_back(shared_data, tmp_path) -> None:
    folder = shared_data / "hcc009_1p5mm"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    spec = importlib.util.spec_from_file_location("hcc_009", Path(__file__).with_name("hcc_009.py"))
    outlines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outlines)
    before, after = (folder / f"HCC_009_{when}_portal_1p5mm.nii.gz" for when in ("pre", "post"))
    write_labels(outlines.post_liver(read_volume(after)), tmp_path / "after.nrrd")
    pair = [before, folder / "HCC_009_pre_portal_seg4_APPROX_1p5mm.nii.gz", after, tmp_path / "after.nrrd"]
    values = ["--label-values", "1=liver,2=tumour,3=liver,4=background", "--slices", "0", "35"]
    assert main(["registration", "--pair", *map(str, pair), *values, "--out", str(tmp_path / "out")]) == 0
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["rows"]
    rigid, bent, product = rows["rigid"], rows["deformable"], rows["staged_outlines"]
    assert product["dice_liver"]["mean"] > bent["dice_liver"]["mean"] - 0.01 and product["folded_percent"]["mean"] < 0.5
    assert bent["dice_liver"]["mean"] >= 0.92 > rigid["dice_liver"]["mean"] > 0.85
    assert bent["liver_mae_hu"]["mean"] < 0.7 * rigid["liver_mae_hu"]["mean"]
    assert bent["folded_percent"]["mean"] < 0.5 and bent["cpu_seconds"]["mean"] < 60
    assert (tmp_path / "out" / "checkerboard.png").stat().st_size > 100_000
    assert (tmp_path / "out" / "deformation_1.h5").is_file()


@pytest.mark.slow
def test_a_bent_patient_is_brought_back(tmp_path) -> None:
    quick = Registration(spacing_mm=5.0, shrink=(2, 1), levels=1, iterations=10, mesh_mm=60.0)
    settings = RegistrationSettings(patients=1, registration=quick)
    rows = registration.evaluate_registration(settings, tmp_path)
    assert list(rows) == ["unregistered", "rigid", "affine", "deformable", "staged", "staged_outlines"]
    errors = [rows[r]["error_mm"]["mean"] for r in rows]
    assert errors[0] > 8 and errors[1] < 0.7 * errors[0] and errors[3] < errors[1]
    assert rows["deformable"]["dice_liver"]["mean"] > rows["unregistered"]["dice_liver"]["mean"]
    assert rows["staged_outlines"]["dice_liver"]["mean"] >= rows["staged"]["dice_liver"]["mean"] - 0.01
    assert errors[5] < errors[1]  # by the known map, which the outlines know nothing of
    assert rows["deformable"]["folded_percent"]["mean"] == 0
    assert (tmp_path / "checkerboard.png").stat().st_size > 10_000
    assert json.dumps(rows)
