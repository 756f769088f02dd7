"""The quality page: pictures one above the other, and counts that read well."""

import io

import numpy as np
import pytest

from MeWMLib.cohorts.layout import CohortCase, PatientRow
from MeWMLib.cohorts.quality_page import QUALITY_PAGE, thumbnail, write_quality_page
from MeWMLib.core.structures import LIVER_STRUCTURE
from MeWMLib.core.volume import Geometry, LabelMap, Volume

image = pytest.importorskip("PIL.Image")
pytest.importorskip("jinja2")


def case(with_after: bool) -> CohortCase:
    geometry = Geometry((10, 50, 60), np.diag([-1.6, -1.6, 5.0, 1.0]))
    hu = np.full(geometry.shape, -1000, np.int16)
    hu[:, 10:40, 10:50] = 70
    labels = np.zeros(geometry.shape, np.uint8)
    labels[2:8, 15:35, 15:40] = 1
    after = Volume(np.where(hu > 0, 500, hu).astype(np.int16), geometry)  # white in the picture
    before = Volume(hu, geometry)
    return CohortCase(before, LabelMap(labels, geometry), after if with_after else None, None)


def drawn(with_after: bool) -> np.ndarray:
    return np.asarray(image.open(io.BytesIO(thumbnail(case(with_after), (None, None)))))


def test_the_scan_after_stands_below_the_one_before() -> None:
    one, two = drawn(False), drawn(True)
    assert two.shape[1] == one.shape[1] and two.shape[0] == 2 * one.shape[0]
    np.testing.assert_array_equal(two[: len(one)], one)
    colour = np.round(255 * np.array(LIVER_STRUCTURE.colour))
    outline = (one == colour).all(-1)  # of the liver, on the axial and the coronal slice
    half = one.shape[1] // 2
    assert outline[:, :half].any() and outline[:, half:].any()
    assert (two[len(one) :] == 255).mean() > 0.2 and not (one == 255).any()
    # the coronal slice is lower than the axial one, and lies in the middle of its place
    rows = np.flatnonzero(one[:, half:].any((1, 2)))
    assert abs(rows[0] - (len(one) - 4 - 1 - rows[-1])) <= 1


def test_one_is_a_patient_and_two_are_patients(tmp_path) -> None:
    row = PatientRow("a", "", None, None, has_after=False)
    for rows, left_out, words in (
        ([row], [{"patient": "", "what": "x", "reason": "y"}], ("</b> patient<", "</b> thing left out<")),
        ([row, PatientRow("b", "", None, None)], [], ("</b> patients<", "</b> things left out<")),
    ):
        write_quality_page(tmp_path, rows, left_out)
        page = (tmp_path / QUALITY_PAGE).read_text(encoding="utf-8")
        assert all(word in page for word in words)
