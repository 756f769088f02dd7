"""DICOM SEG as labels: three types, the meaning of segments, the grid, and which scan one belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.dicom_seg import choose
from MeWMLib.core.dicom.scan import scan
from MeWMLib.core.dicom.segmentation import describe, masks_on, read_segmentation
from MeWMLib.core.dicom.stacks import stacks_of
from MeWMLib.core.errors import (
    GeometryError,
    GeometryMismatchError,
    InputError,
    LabelError,
    MeWMError,
    UnreadableFileError,
)
from MeWMLib.core.io import read_labels, read_volume

LIVER, MASS = ("Liver", "10200004", "Liver"), ("Mass", "4147007", "Mass")
SPLEEN, AORTA = ("Spleen", "78961009", "Spleen"), ("Aorta", "15825003", "Aorta")
ODD = ("Segment_3", "85756007", "Tissue")


@pytest.fixture
def case(phantom, tmp_path):
    """A series, its data sets in order, and masks of liver and tumour."""
    import pydicom

    hu = phantom.plain()
    folder = phantom.classic(tmp_path / "ct", hu)
    sources = sorted((pydicom.dcmread(p) for p in folder.iterdir()), key=lambda d: d.ImagePositionPatient[2])
    truth = np.zeros(hu.shape, np.uint8)
    truth[2:9, 10:30, 12:25] = 1
    truth[4:6, 15:20, 14:20] = 2
    return sources, truth, read_volume(folder).geometry


def masks(truth, *more):
    return [truth >= 1, truth == 2, *more]


@pytest.mark.parametrize("type_", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_each_type_serves_as_labels(phantom, case, tmp_path, type_, as_folder):
    sources, truth, grid = case
    path = phantom.segmentation(tmp_path / "seg" / "x", sources, masks(truth), [LIVER, MASS], type_)
    labels = read_labels(path.parent if as_folder else path, grid)
    np.testing.assert_array_equal(labels.array, truth)
    assert labels.geometry is grid


def test_half_of_the_largest_fraction_counts(phantom, case, tmp_path):
    sources, truth, grid = case
    part = np.where(truth > 0, 0.5, 0.0)
    part[3] *= 0.99  # 99 of 200
    part[7] *= 2
    path = phantom.segmentation(tmp_path / "x", sources, [part], [LIVER], "FRACTIONAL")
    wanted = (truth > 0).astype(np.uint8)
    wanted[3] = 0
    np.testing.assert_array_equal(read_labels(path, grid).array, wanted)


def test_other_organs_are_background_once_liver_and_tumour_are_known(phantom, case, tmp_path):
    sources, truth, grid = case
    spleen = np.zeros(truth.shape, bool)
    spleen[2:9, 32:40, 30:40] = True
    path = phantom.segmentation(tmp_path / "x", sources, masks(truth, spleen, spleen), [LIVER, MASS, SPLEEN, AORTA])
    np.testing.assert_array_equal(read_labels(path, grid).array, truth)


def test_a_segment_that_may_be_the_tumour_is_asked_for(phantom, case, tmp_path):
    sources, truth, grid = case
    path = phantom.segmentation(tmp_path / "x", sources, masks(truth, truth == 2), [LIVER, AORTA, ODD])
    with pytest.raises(LabelError, match=r"Segment_3 \(number 3;.*--label-values \"Segment_3=."):
        read_labels(path, grid)
    wanted = truth.copy()
    np.testing.assert_array_equal(read_labels(path, grid, values={1: 1, 3: 2}).array, wanted)
    np.testing.assert_array_equal(read_labels(path, grid, values={"segment_3": 2}).array, wanted)
    with pytest.raises(LabelError, match="No segment has this name.*segment_9"):
        read_labels(path, grid, values={"segment_9": 2})


def test_a_mass_of_another_organ_is_no_tumour_of_the_liver(phantom, case, tmp_path):
    import highdicom as hd

    sources, truth, grid = case

    def in_kidney(seg):
        seg.SegmentSequence[1].AnatomicRegionSequence = [hd.sr.CodedConcept("64033007", "SCT", "Kidney")]

    def in_liver(seg):
        seg.SegmentSequence[1].AnatomicRegionSequence = [hd.sr.CodedConcept("10200004", "SCT", "Liver")]

    path = phantom.segmentation(tmp_path / "a", sources, masks(truth), [LIVER, MASS], change=in_kidney)
    with pytest.raises(LabelError, match="Mass"):
        read_labels(path, grid)
    path = phantom.segmentation(tmp_path / "b", sources, masks(truth), [LIVER, MASS], change=in_liver)
    np.testing.assert_array_equal(read_labels(path, grid).array, truth)


def test_neither_liver_nor_tumour(phantom, case, tmp_path):
    sources, truth, grid = case
    path = phantom.segmentation(tmp_path / "x", sources, [truth > 0], [AORTA])
    for read in (lambda: read_labels(path, grid), lambda: read_segmentation(path)):
        with pytest.raises(LabelError, match="(neither|No segment is) liver (nor|or) tumour.*Aorta"):
            read()
    vessels = masks_on(describe(path), grid)[1]
    np.testing.assert_array_equal(vessels, truth > 0)


def test_it_needs_no_slice_to_refer_to_and_may_be_a_part(phantom, case, tmp_path):
    sources, truth, grid = case

    def without_references(seg):
        for frame in seg.PerFrameFunctionalGroupsSequence:
            del frame.DerivationImageSequence
        for name in ("ReferencedSeriesSequence", "SourceImageSequence"):
            if name in seg:
                delattr(seg, name)

    path = phantom.segmentation(
        tmp_path / "x", sources[3:8], [m[3:8] for m in masks(truth)], [LIVER, MASS], change=without_references
    )
    assert describe(path).sources == frozenset()
    wanted = truth.copy()
    wanted[:3] = wanted[8:] = 0
    np.testing.assert_array_equal(read_labels(path, grid).array, wanted)


def test_a_segmentation_that_was_drawn_upside_down_is_put_right(phantom, case, tmp_path):
    """Rows that run backwards: every voxel lies on one of the CT, in another order."""
    sources, truth, grid = case

    def turn(seg):
        groups = seg.SharedFunctionalGroupsSequence[0]
        groups.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
        move(0, 6.5 * 47)(seg)

    flipped = [m[:, ::-1] for m in masks(truth)]
    path = phantom.segmentation(tmp_path / "x", sources, flipped, [LIVER, MASS], change=turn)
    np.testing.assert_array_equal(read_labels(path, grid).array, truth)


def move(x: float, y: float = 0.0):
    """Move every frame by x and y mm."""

    def change(seg):
        from pydicom.dataset import Dataset

        for frame in seg.PerFrameFunctionalGroupsSequence:
            old, place = frame.PlanePositionSequence[0].ImagePositionPatient, Dataset()
            place.ImagePositionPatient = [old[0] + x, old[1] + y, old[2]]
            frame.PlanePositionSequence = [place]  # segments share the items of their frames

    return change


def test_another_grid_is_refused_or_resampled(phantom, case, tmp_path):
    sources, truth, grid = case
    path = phantom.segmentation(tmp_path / "a", sources, masks(truth), [LIVER, MASS], change=move(2.0))
    with pytest.raises(GeometryMismatchError, match="--resample-labels"):
        read_labels(path, grid)
    np.testing.assert_array_equal(read_labels(path, grid, resample=True).array, truth)  # a third of a voxel
    path = phantom.segmentation(tmp_path / "b", sources, masks(truth), [LIVER, MASS], change=move(2000.0))
    with pytest.raises(GeometryError, match="not where its CT is"):
        read_labels(path, grid, resample=True)
    with pytest.raises(GeometryError):
        masks_on(read_segmentation(path), grid)


def test_another_frame_of_reference_is_refused_though_the_grid_agrees(phantom, case, tmp_path):
    sources, truth, grid = case

    def other(seg):
        seg.FrameOfReferenceUID = "1.2.3.4"

    path = phantom.segmentation(tmp_path / "x", sources, masks(truth), [LIVER, MASS], change=other)
    with pytest.raises(GeometryMismatchError, match="another frame of reference"):
        read_labels(path, grid)
    np.testing.assert_array_equal(read_labels(path, grid, resample=True).array, truth)


def test_label_maps_in_colour_are_label_maps(phantom, case, tmp_path):
    """PALETTE COLOR says how to show the labels, not what they are."""
    sources, truth, grid = case

    def palette(seg):
        seg.PhotometricInterpretation = "PALETTE COLOR"
        for colour in ("Red", "Green", "Blue"):
            setattr(seg, f"{colour}PaletteColorLookupTableDescriptor", [3, 0, 8])
            setattr(seg, f"{colour}PaletteColorLookupTableData", b"\x00\x80\xff\x00")

    path = phantom.segmentation(tmp_path / "x", sources, masks(truth), [LIVER, MASS], "LABELMAP", change=palette)
    np.testing.assert_array_equal(read_labels(path, grid).array, truth)


def test_what_is_no_segmentation_is_refused(phantom, case, tmp_path):
    sources, truth, grid = case
    with pytest.raises(UnreadableFileError, match="no segmentation by voxels"):
        read_labels(sorted((tmp_path / "ct").iterdir())[0], grid)
    with pytest.raises(UnreadableFileError, match="holds no DICOM segmentation"):
        read_labels(tmp_path / "ct", grid)
    for name in "ab":
        phantom.segmentation(tmp_path / "two" / name, sources, masks(truth), [LIVER, MASS])
    with pytest.raises(UnreadableFileError, match="more than one"):
        read_labels(tmp_path / "two", grid)
    (tmp_path / "x.dcm").write_bytes(b"")
    with pytest.raises(UnreadableFileError):
        read_labels(tmp_path / "x.dcm", grid)
    with pytest.raises(UnreadableFileError, match="no such file"):
        read_labels(tmp_path / "missing.dcm", grid)


@pytest.mark.parametrize("type_", ["BINARY", "LABELMAP"])
def test_a_damaged_segmentation_is_an_error_of_ours(phantom, case, tmp_path, type_):
    sources, truth, grid = case
    path = phantom.segmentation(tmp_path / "x", sources, masks(truth), [LIVER, MASS], type_)
    whole = path.read_bytes()
    for keep in (300, 1500, len(whole) // 2, len(whole) - 300, len(whole) - 2):
        path.write_bytes(whole[:keep])
        with pytest.raises(MeWMError):
            read_labels(path, grid)


@pytest.mark.parametrize("type_", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("kept", [(5,), (3, 4, 7)], ids=["one slice", "a gap"])
def test_slices_without_anything_drawn_may_be_missing(phantom, case, tmp_path, type_, kept):
    sources, truth, grid = case
    few = np.zeros_like(truth)
    few[list(kept)] = truth[list(kept)]

    def thick(seg):  # what it says of distances of slices counts for nothing where there is one
        seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = 3.0

    path = phantom.segmentation(
        tmp_path / "x", sources, masks(few), [LIVER, MASS], type_, change=thick if len(kept) == 1 else None
    )
    np.testing.assert_array_equal(read_labels(path, grid).array, few)


def test_frames_in_any_order_and_compressed(phantom, case, tmp_path):
    import pydicom.uid

    sources, truth, grid = case

    def turned(seg):
        frames = list(seg.PerFrameFunctionalGroupsSequence)
        seg.PixelData = seg.pixel_array[::-1].tobytes()
        seg.PerFrameFunctionalGroupsSequence = frames[::-1]
        seg.compress(pydicom.uid.RLELossless)

    for type_ in ("FRACTIONAL", "LABELMAP"):
        path = phantom.segmentation(tmp_path / type_, sources, masks(truth), [LIVER, MASS], type_, change=turned)
        np.testing.assert_array_equal(read_labels(path, grid).array, truth)


def test_deflated_and_without_a_frame_of_reference(phantom, case, tmp_path):
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    sources, truth, grid = case
    path = phantom.segmentation(tmp_path / "x", sources, masks(truth), [LIVER, MASS])
    data = pydicom.dcmread(path)
    del data.FrameOfReferenceUID
    data.save_as(path)
    np.testing.assert_array_equal(read_labels(path, grid).array, truth)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path)
    assert path.stat().st_size < truth.size // 8
    np.testing.assert_array_equal(read_labels(path, grid).array, truth)


@pytest.mark.parametrize(("step", "digits"), [(0.625, 1), (0.625, 2), (1.25, 1), (3.125, 1)])
@pytest.mark.parametrize("type_", ["BINARY", "LABELMAP"])
def test_drawn_on_a_ct_whose_positions_have_few_digits(phantom, tmp_path, type_, step, digits):
    import pydicom

    hu, count = phantom.plain(30), 30
    places = [round(step * n + 0.3, digits) for n in range(count)]
    folder = phantom.classic(tmp_path / "ct", hu, places=places)
    sources = sorted((pydicom.dcmread(p) for p in folder.iterdir()), key=lambda d: d.ImagePositionPatient[2])
    truth = np.zeros(hu.shape, np.uint8)
    truth[3:25, 10:30, 12:25], truth[9:13, 15:20, 14:20] = 1, 2
    grid = read_volume(folder).geometry
    path = phantom.segmentation(tmp_path / "x", sources, masks(truth), [LIVER, MASS], type_)
    np.testing.assert_array_equal(read_labels(path, grid).array, truth)

    def moved(seg):  # by more than printing explains
        for frame in seg.PerFrameFunctionalGroupsSequence:
            x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
            frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + 0.4 * step]

    path = phantom.segmentation(tmp_path / "y", sources, masks(truth), [LIVER, MASS], type_, change=moved)
    with pytest.raises(MeWMError, match="not on the grid|no regular grid"):
        read_labels(path, grid)


def test_a_high_volume_of_nothing_is_refused(phantom, case, tmp_path):
    """Two frames close to each other and one far away: billions of slices between them."""
    sources, truth, grid = case

    def far(seg):
        from pydicom.dataset import Dataset

        frames = seg.PerFrameFunctionalGroupsSequence
        for frame, z in ((frames[0], 0.0), (frames[1], 2.5), (frames[2], 4e9)):
            place = Dataset()
            place.ImagePositionPatient = [-156, -156, z]
            frame.PlanePositionSequence = [place]

    path = phantom.segmentation(tmp_path / "x", sources[2:5], [truth[2:5] >= 1], [LIVER], change=far)
    with pytest.raises(MeWMError):
        read_labels(path, grid)


def test_a_segmentation_that_declares_too_much_is_refused(phantom, case, tmp_path, monkeypatch):
    sources, truth, grid = case
    path = phantom.segmentation(tmp_path / "x", sources, masks(truth), [LIVER, MASS])
    monkeypatch.setenv("MEWM_MAX_GIB", "0.0000001")
    with pytest.raises(InputError, match="more voxels"):
        read_labels(path, grid)


# which scan


def stack_in(folder: Path):
    (stack,), _ = stacks_of(scan(folder).slices)
    return stack


def test_a_segmentation_belongs_to_the_slices_it_names_else_to_where_it_lies(phantom, case, tmp_path):
    sources, truth, _ = case
    hu = phantom.plain()
    elsewhere = phantom.classic(tmp_path / "other", hu, series="5", places=[7.5 * n + 3.0 for n in range(12)])
    other_frame = phantom.classic(
        tmp_path / "third", hu, series="6", change=lambda data, n: setattr(data, "FrameOfReferenceUID", "1.2.3")
    )
    mine, stack, third = stack_in(tmp_path / "ct"), stack_in(elsewhere), stack_in(other_frame)

    def bare(seg):
        for frame in seg.PerFrameFunctionalGroupsSequence:
            del frame.DerivationImageSequence
        if "ReferencedSeriesSequence" in seg:
            del seg.ReferencedSeriesSequence

    named = read_segmentation(phantom.segmentation(tmp_path / "n", sources, masks(truth), [LIVER, MASS]))
    bare_ = read_segmentation(phantom.segmentation(tmp_path / "b", sources, masks(truth), [LIVER, MASS], change=bare))
    assert named.sources and not bare_.sources
    for one in (named, bare_):
        assert choose([one], mine) is one and choose([one], stack) is None and choose([one], third) is None
    assert choose([bare_, named], mine) is named


@pytest.mark.real_data
def test_a_real_segmentation_of_another_program(shared_data):
    folder = shared_data / "dicom_seg_sample"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    ct = read_volume(folder)  # the SEG lies among the slices
    assert ct.geometry.shape == (3, 512, 512)
    labels = read_labels(folder / "liver_SEG.dcm", ct.geometry)
    np.testing.assert_array_equal(read_labels(folder, ct.geometry).array, labels.array)
    assert 20 < labels.liver.sum() * labels.geometry.voxel_ml and not labels.tumour.any()
    assert 0 < np.median(ct.array[labels.liver]) < 150  # HU of a liver: it lies where the organ is
