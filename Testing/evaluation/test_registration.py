"""`mewm evaluate registration`: the error of a known map, and the checkerboard."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.evaluation import registration
from MeWMLib.evaluation.__main__ import main
from MeWMLib.evaluation.registration import RegistrationSettings, checkerboard
from MeWMLib.perception.registration import Registration


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


@pytest.mark.slow
def test_a_bent_patient_is_brought_back(tmp_path) -> None:
    quick = Registration(spacing_mm=5.0, shrink=(2, 1), levels=1, iterations=10, mesh_mm=60.0)
    settings = RegistrationSettings(patients=1, registration=quick)
    rows = registration.evaluate_registration(settings, tmp_path)
    assert list(rows) == ["unregistered", "rigid", "affine", "deformable"]
    errors = [rows[r]["error_mm"]["mean"] for r in rows]
    assert errors[0] > 8 and errors[1] < 0.7 * errors[0] and errors[3] < errors[1]
    assert rows["deformable"]["dice_liver"]["mean"] > rows["unregistered"]["dice_liver"]["mean"]
    assert rows["deformable"]["folded_percent"]["mean"] == 0
    assert (tmp_path / "checkerboard.png").stat().st_size > 10_000
    assert json.dumps(rows)
