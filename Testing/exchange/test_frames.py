"""Objects that are put together from bytes and frames, against what pydicom and highdicom make of the whole at once."""

from __future__ import annotations

import io
from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pydicom
import pytest

from MeWMLib.core.sealed import sha256_of
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.exchange import codes
from MeWMLib.exchange.deviation import Deviation, _mapping, write_deviation
from MeWMLib.exchange.encoded import FileHead, Template, encoded, sequence, text_element
from MeWMLib.exchange.fingerprint import fingerprint, signed_with
from MeWMLib.exchange.images import Images
from MeWMLib.exchange.pieces import Pieces
from MeWMLib.exchange.segments import Drawn, Segment, _description, write_segmentation
from MeWMLib.exchange.study import made_up

#: Frames of 7 x 5 pixels end in the middle of a byte.
SHAPE = (6, 7, 5)


AXIAL = np.array([[-2.0, 0, 0, 10], [0, -3.0, 0, 20], [0, 0, 4.0, -30], [0, 0, 0, 1]])


def study_on(affine):
    return made_up(Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE, affine)), "test")


@pytest.fixture
def study():
    return study_on(AXIAL)


def grid_of(name):
    """Right-handed, left-handed (its slices are numbered against their normal), and turned by odd angles."""
    if name == "left-handed":
        return AXIAL * (1, 1, -1, 1)
    if name == "oblique":
        a, b = np.deg2rad((17, 11))
        z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        turned = AXIAL.copy()
        turned[:3, :3] = z @ x @ AXIAL[:3, :3]
        return turned
    return AXIAL


def segments():
    draw = np.random.default_rng(3)
    liver = draw.random((4, 6, 4)) < 0.6
    tumour = draw.random((3, 3, 3)) < 0.5
    tumour[1] = False  # a slice between two that has none of it
    return [Segment("Liver", codes.LIVER, liver, (1, 1, 0)), Segment("Tumour 1", codes.TUMOUR, tumour, (2, 3, 1))]


def one_voxel():
    """The only segment, in a single frame: what else stands in the groups of frames is in the shared ones then."""
    return [Segment("Necrosis", codes.NECROSIS, np.ones((1, 1, 1), bool), (2, 3, 1))]


def in_slices(*slices):
    """One segment in some slices: whether they follow one another at one distance is said of the object."""
    mask = np.zeros((6, 2, 2), bool)
    mask[list(slices)] = True
    return [Segment("Necrosis", codes.NECROSIS, mask, (0, 3, 1))]


MADE = {
    "two": segments(), "one": one_voxel(), "pair": in_slices(2, 3), "all": in_slices(*range(6)),
    "every second": in_slices(1, 3, 5), "a gap": in_slices(0, 1, 4, 5), "a late gap": in_slices(0, 1, 2, 4),
}  # fmt: skip


@pytest.mark.parametrize("made", MADE.values(), ids=list(MADE))
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("grid", ["axial", "left-handed", "oblique"])
def test_a_segmentation_is_that_of_highdicom(tmp_path, kind, made, grid):
    study = study_on(grid_of(grid))
    lent = Images.derived(study, study.series, [str(hd.UID()) for _ in range(SHAPE[0])], 1)
    images = lent.light(range(SHAPE[0]))
    drawn = Drawn("AUTOMATIC", "bundle", "ab" * 32)
    sha256 = write_segmentation(tmp_path / "s.dcm", lent, made, number=3, title="t", drawn=drawn, kind=kind).sha256
    assert sha256 == sha256_of(tmp_path / "s.dcm")
    mine = pydicom.dcmread(tmp_path / "s.dcm")
    whole = np.zeros((*SHAPE, len(made)), np.uint8)
    for n, one in enumerate(made):
        k, j, i = one.start
        a, b, c = one.mask.shape
        whole[k : k + a, j : j + b, i : i + c, n] = one.mask
    if kind == "LABELMAP":
        whole = np.where(whole[..., -1], len(made), whole[..., 0]).astype(np.uint8)
    first, last = min(one.slices[0] for one in made), max(one.slices[-1] for one in made) + 1
    for image in images:
        image.Rows, image.Columns = SHAPE[1:]
    described = [_description(n, one, drawn) for n, one in enumerate(made, start=1)]
    theirs = hd.seg.Segmentation(
        images[first:last], whole[first:last], kind, described,
        mine.SeriesInstanceUID, 3, mine.SOPInstanceUID, 1, "MeWM", mine.ManufacturerModelName, mine.SoftwareVersions,
        "0", content_label="MEWM", content_description="t", series_description="t",
    )  # fmt: skip
    theirs.save_as(tmp_path / "t.dcm")
    theirs = pydicom.dcmread(tmp_path / "t.dcm")
    ours_alone = {"ContributingEquipmentSequence", "SpecificCharacterSet", "SeriesDate", "SeriesTime"}
    times = {"ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime"}
    # highdicom 0.28.2 fills up an odd number of bytes with the character 0, not with the byte
    held = -(-mine.NumberOfFrames * SHAPE[1] * SHAPE[2] * mine.BitsAllocated // 8)
    assert mine.PixelData[:held] == theirs.PixelData[:held] and mine.PixelData[held:] in (b"", b"\0")
    assert np.array_equal(mine.pixel_array, theirs.pixel_array)
    same_but(mine, theirs, ours_alone | times | {"PixelData"})
    assert mine.NumberOfFrames == len(mine.PerFrameFunctionalGroupsSequence) and mine.pixel_array.any()
    assert signed_with(mine) == fingerprint(mine)


def same_but(mine, theirs, names):
    """All elements but some are those of highdicom, whose UIDs of dimensions are new each time."""
    new = {"DimensionOrganizationSequence", "DimensionIndexSequence"}
    ours, other = (one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0] for one in (mine, theirs))
    # from another pair of positions, each rounded to 16 characters
    if "SpacingBetweenSlices" in ours:
        assert ours.SpacingBetweenSlices == pytest.approx(float(other.SpacingBetweenSlices), abs=1e-9)
        ours.SpacingBetweenSlices = other.SpacingBetweenSlices
    for name in ({e.keyword for e in mine} | {e.keyword for e in theirs}) - names - new:
        assert mine.get(name) == theirs.get(name), name
        assert mine[name].VR == theirs[name].VR


@pytest.mark.filterwarnings("ignore:Arguments 'window_center'")
@pytest.mark.parametrize("grid", ["axial", "left-handed", "oblique"])
@pytest.mark.parametrize("slices", [range(6), range(2, 5), range(3, 4)], ids=str)
def test_a_map_is_that_of_highdicom(tmp_path, grid, slices):
    study = study_on(grid_of(grid))
    lent = Images.derived(study, study.series, [str(hd.UID()) for _ in range(SHAPE[0])], 1)
    values = np.zeros(SHAPE, np.float32)
    values[slices] = np.random.default_rng(2).random((len(slices), *SHAPE[1:]))
    values[slices[len(slices) // 2], 1:] = 0
    found = Deviation(tmp_path / "kept", enumerate(values))
    sha256 = write_deviation(tmp_path / "s.dcm", lent, found, 3, "t")
    found.drop()
    assert [p.name for p in tmp_path.iterdir()] == ["s.dcm"] and sha256 == sha256_of(tmp_path / "s.dcm")
    mine = pydicom.dcmread(tmp_path / "s.dcm")
    images = lent.light(slices)
    for image in images:
        image.Rows, image.Columns = SHAPE[1:]
    theirs = hd.pm.ParametricMap(
        images, values[slices], mine.SeriesInstanceUID, 3, mine.SOPInstanceUID, 1, "MeWM", "MeWM simulation",
        mine.SoftwareVersions, "0", contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(found.highest)],
        window_center=found.highest / 2, window_width=max(found.highest, 1.0), content_label="DEVIATION",
        content_description=mine.ContentDescription, series_description=mine.SeriesDescription,
    )  # fmt: skip
    theirs.save_as(tmp_path / "t.dcm")
    theirs = pydicom.dcmread(tmp_path / "t.dcm")
    assert mine.FloatPixelData == theirs.FloatPixelData
    times = {f"{what}{part}" for what in ("Content", "InstanceCreation", "Series") for part in ("Date", "Time")}
    same_but(
        mine, theirs, times | {"FloatPixelData", "SpecificCharacterSet", "ContributingEquipmentSequence", "Laterality"}
    )
    assert signed_with(mine) == fingerprint(mine)


def test_a_dataset_with_elements_put_in_is_that_of_pydicom():
    data = pydicom.Dataset()
    data.SpecificCharacterSet, data.PatientName, data.Modality = "ISO_IR 192", "Müller^Änne", "CT"
    data.SOPClassUID, data.Rows, data.WindowCenter = "1.2.840.10008.5.1.4.1.1.2", 7, "40"
    template = Template(data, ["SOPInstanceUID", "SourceImageSequence", "InstanceNumber"])
    item = pydicom.Dataset()
    item.ReferencedSOPInstanceUID = "1.2.345"
    data.SOPInstanceUID, data.InstanceNumber, data.SourceImageSequence = "1.2.3", "12", [item]
    elements = {
        "SOPInstanceUID": text_element("SOPInstanceUID", "UI", "1.2.3"),
        "SourceImageSequence": sequence("SourceImageSequence", [encoded(list(item))]),
        "InstanceNumber": text_element("InstanceNumber", "IS", "12"),
    }
    content = FileHead(data.SOPClassUID).filled("1.2.3") + template.filled(elements)
    assert template.filled(elements) == encoded(list(data))
    again = pydicom.dcmread(io.BytesIO(content))
    assert again == data and again.PatientName == "Müller^Änne"
    assert again.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    pydicom.dataset.validate_file_meta(again.file_meta, enforce_standard=True)
    del elements["SourceImageSequence"]
    assert "SourceImageSequence" not in pydicom.dcmread(
        io.BytesIO(FileHead(data.SOPClassUID).filled("1.2.3") + template.filled(elements))
    )


def test_slices_of_a_turned_plan_find_their_place(study):
    """A plan whose slices run the other way, and one whose slices are sagittal, lie on the slices of the series."""
    grid = study.geometry
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    flipped = np.array(grid.affine)
    flipped[:3, 3] += flipped[:3, 2] * (SHAPE[0] - 1)
    flipped[:3, 2] *= -1
    turned = grid.affine[:, [2, 1, 0, 3]]
    cases = (
        (array, grid),
        (array[::-1], Geometry(SHAPE, flipped)),
        (array.transpose(2, 1, 0), Geometry(SHAPE[::-1], turned)),
    )
    for voxels, geometry in cases:
        found = dict(study.planes_on_grid(iter(voxels), geometry))
        assert sorted(found) == list(range(SHAPE[0]))
        assert all(np.array_equal(found[n], array[n]) for n in found)
        part, start = study.part_on_grid(voxels[1:3], geometry.crop((1, 0, 0), (2, *geometry.shape[1:])))
        k, j, i = (slice(a, a + b) for a, b in zip(start, part.shape, strict=True))
        assert np.array_equal(part, array[k, j, i])


def test_the_first_error_of_a_piece_is_raised_and_the_rest_is_left():
    done = []

    def work(n):
        if n == 3:
            raise OSError(28, "No space left on device")
        done.append(n)

    with pytest.raises(OSError, match="No space"), Pieces() as pieces:
        for n in range(1000):
            pieces.give(work, n)
    assert len(done) < 20 and done[:3] == [0, 1, 2]
    seen = SimpleNamespace(n=0)
    with Pieces() as pieces:
        for _ in range(50):
            pieces.give(lambda: setattr(seen, "n", 1))
    assert seen.n == 1
