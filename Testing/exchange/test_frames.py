"""Objects that are put together from bytes and frames, against what pydicom and highdicom make of the whole at once."""

from __future__ import annotations

import io
from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pydicom
import pytest

from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.exchange import codes
from MeWMLib.exchange.encoded import FileHead, Template, encoded, sequence, text_element
from MeWMLib.exchange.pieces import Pieces
from MeWMLib.exchange.segments import Drawn, Segment, _description, write_segmentation
from MeWMLib.exchange.study import light_images, synthetic

#: Frames of 7 x 5 pixels end in the middle of a byte.
SHAPE = (6, 7, 5)


@pytest.fixture
def study():
    grid = Geometry(SHAPE, np.array([[-2.0, 0, 0, 10], [0, -3.0, 0, 20], [0, 0, 4.0, -30], [0, 0, 0, 1]]))
    return synthetic(Volume(np.zeros(SHAPE, np.int16), grid), "test")


def segments():
    draw = np.random.default_rng(3)
    liver = draw.random((4, 6, 4)) < 0.6
    tumour = draw.random((3, 3, 3)) < 0.5
    tumour[1] = False  # a slice between two that has none of it
    return [Segment("Liver", codes.LIVER, liver, (1, 1, 0)), Segment("Tumour 1", codes.TUMOUR, tumour, (2, 3, 1))]


def one_voxel():
    """The only segment, in a single frame: what else stands in the groups of frames is in the shared ones then."""
    return [Segment("Necrosis", codes.NECROSIS, np.ones((1, 1, 1), bool), (2, 3, 1))]


@pytest.mark.parametrize("made", [segments(), one_voxel()], ids=["two", "one"])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_segmentation_is_that_of_highdicom(study, tmp_path, kind, made):
    sops = [str(hd.UID()) for _ in range(SHAPE[0])]
    images = light_images(study, study.series, sops)
    drawn = Drawn("AUTOMATIC", "bundle", "ab" * 32)
    write_segmentation(tmp_path / "s.dcm", study, images, made, number=3, title="t", drawn=drawn, kind=kind)
    mine = pydicom.dcmread(tmp_path / "s.dcm")
    whole = np.zeros((*SHAPE, len(made)), np.uint8)
    for n, one in enumerate(made):
        k, j, i = one.start
        a, b, c = one.mask.shape
        whole[k : k + a, j : j + b, i : i + c, n] = one.mask
    if kind == "LABELMAP":
        whole = np.where(whole[..., -1], len(made), whole[..., 0]).astype(np.uint8)
    first, last = min(one.slices[0] for one in made), max(one.slices[1] for one in made)
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
    names = {e.keyword for e in mine} | {e.keyword for e in theirs}
    # highdicom 0.28.2 fills up an odd number of bytes with the character 0, not with the byte
    held = -(-mine.NumberOfFrames * SHAPE[1] * SHAPE[2] * mine.BitsAllocated // 8)
    assert mine.PixelData[:held] == theirs.PixelData[:held] and mine.PixelData[held:] in (b"", b"\0")
    assert np.array_equal(mine.pixel_array, theirs.pixel_array)
    for name in (
        names - {"PixelData"} - ours_alone - times - {"DimensionOrganizationSequence", "DimensionIndexSequence"}
    ):
        assert mine.get(name) == theirs.get(name), name
    assert mine.NumberOfFrames == len(mine.PerFrameFunctionalGroupsSequence) and mine.pixel_array.any()


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
