"""Segments of a `.seg.nrrd`: what is used, left out, asked and refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core import io
from MeWMLib.core.errors import LabelError
from MeWMLib.core.volume import Geometry

SHAPE = (4, 6, 8)
GRID = Geometry(SHAPE, np.diag([-2.0, -2.0, 3.0, 1.0]))
KIDNEY_MASS = (
    "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list~SCT^49755003^Morphologically "
    "Altered Structure~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~SCT^64033007^Kidney~^^|"
)


def drawn(*values: int) -> np.ndarray:
    """One slab of the grid for each value."""
    array = np.zeros(SHAPE, np.uint8)
    for n, value in enumerate(values):
        array[:, :, n] = value
    return array


def written(path, names, array, *, values=None, layers=None, tags=None):
    """A segmentation as Slicer writes it; `array` may have several layers."""
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.CopyInformation(io.image_of(np.zeros(SHAPE, np.uint8), GRID))
    for n, name in enumerate(names):
        image.SetMetaData(f"Segment{n}_Name", name)
        image.SetMetaData(f"Segment{n}_LabelValue", str(values[n] if values else n + 1))
        image.SetMetaData(f"Segment{n}_Layer", str(layers[n] if layers else 0))
        if tags and tags[n]:
            image.SetMetaData(f"Segment{n}_Tags", tags[n])
    sitk.WriteImage(image, str(path / "s.seg.nrrd"))
    return path / "s.seg.nrrd"


def read(path, text="", **more):
    return io.read_labels(path, GRID, values=io.parse_label_values(text) if text else None, **more).array[0, 0]


def test_other_organs_are_left_out_with_a_note(tmp_path):
    path = written(tmp_path, ["liver", "liver_tumor", "spleen", "kidney_left", "aorta"], drawn(1, 2, 3, 4, 5))
    notes: list[str] = []
    assert read(path, notes=notes).tolist()[:5] == [1, 2, 0, 0, 0]
    (note,) = notes
    assert "spleen (another organ)" in note and "aorta" in note and "liver" not in note.split(":")[1].split(",")[0]


def test_a_tumour_of_another_organ_is_asked_by_name(tmp_path):
    path = written(tmp_path, ["liver", "Lesions", "kidney_tumor_left", "necrosis"], drawn(1, 2, 3, 4))
    with pytest.raises(LabelError) as error:
        read(path)
    assert "kidney_tumor_left" in error.value.given and "necrosis" in error.value.given
    assert "Lesions" not in error.value.given
    assert '--label-values "kidney_tumor_left=background,necrosis=background"' in error.value.remedy
    assert read(path, "kidney_tumor_left=background, Necrosis=tumor").tolist()[:4] == [1, 2, 0, 2]
    assert read(path, "3=background,4=liver").tolist()[:4] == [1, 2, 0, 1]
    with pytest.raises(LabelError, match="kidney_tumour_left"):
        read(path, "kidney_tumour_left=background,necrosis=background")  # a slip of the pen


def test_what_the_user_says_counts_before_the_name(tmp_path):
    path = written(tmp_path, ["liver", "tumor"], drawn(1, 2))
    assert read(path, "liver=tumour,tumor=liver").tolist()[:2] == [2, 1]


def test_a_mass_of_the_kidney_by_its_terminology_is_asked(tmp_path):
    path = written(tmp_path, ["liver", "tumor", "Mass"], drawn(1, 2, 3), tags=["", "", KIDNEY_MASS])
    with pytest.raises(LabelError, match="Mass"):
        read(path)
    path = written(
        tmp_path, ["liver", "Mass"], drawn(1, 2), tags=["", KIDNEY_MASS.replace("64033007^Kid", "10200004^L")]
    )
    assert read(path).tolist()[:2] == [1, 2]


def test_a_segment_without_voxels_is_not_asked(tmp_path):
    path = written(tmp_path, ["liver", "tumor", "Segment_3", "kidney tumor"], drawn(1, 2))
    assert read(path).tolist()[:3] == [1, 2, 0]


def test_tumour_alone_is_refused_or_accepted_where_asked(tmp_path):
    path = written(tmp_path, ["Tumor"], drawn(1))
    with pytest.raises(LabelError, match="no liver"):
        read(path)
    assert read(path, tumour_alone=True).tolist()[:2] == [2, 0]
    image = io.image_of(drawn(2), GRID)
    sitk.WriteImage(image, str(tmp_path / "t.nii.gz"))
    with pytest.raises(LabelError, match="no liver"):
        read(tmp_path / "t.nii.gz")


def test_a_segmentation_of_other_organs_alone_is_refused(tmp_path):
    with pytest.raises(LabelError, match="No segment is liver or tumour.*spleen"):
        read(written(tmp_path, ["spleen", "kidney"], drawn(1, 2)))


def test_segments_that_share_a_value(tmp_path):
    same = written(tmp_path, ["liver", "tumor 1", "tumor 2"], drawn(1, 2), values=[1, 2, 2])
    assert read(same).tolist()[:2] == [1, 2]
    with pytest.raises(LabelError, match="share one label value.*liver and tumor"):
        read(written(tmp_path, ["liver", "tumor"], drawn(1), values=[1, 1]))


def test_voxels_of_no_segment_are_refused(tmp_path):
    with pytest.raises(LabelError, match="belong to no segment.*values 7"):
        read(written(tmp_path, ["liver", "tumor"], drawn(1, 2, 7)))


def test_layers_repeat_values_and_overlap(tmp_path):
    stack = np.stack([drawn(1, 1, 2), drawn(0, 1, 1)], axis=-1)
    path = written(tmp_path, ["liver", "spleen", "tumor"], stack, values=[1, 2, 1], layers=[0, 0, 1])
    assert read(path).tolist()[:4] == [1, 2, 2, 0]  # tumour wins over liver, and over what is left out
    assert read(path, "3=liver,1=tumour").tolist()[:4] == [2, 2, 1, 0]  # numbers are places in the list


def test_names_need_a_file_with_names(tmp_path):
    sitk.WriteImage(io.image_of(drawn(1, 2), GRID), str(tmp_path / "l.nii.gz"))
    with pytest.raises(LabelError, match="holds numbers only"):
        read(tmp_path / "l.nii.gz", "lesion=tumour")
