"""HU of every form of a CT against the HU that were drawn: rescale of each slice, types, byte orders, compression."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.errors import InputError, MeWMError, NotCTError, SeriesError, UnreadableFileError
from MeWMLib.core.io import read_volume


@pytest.fixture
def hu(phantom):
    return phantom.plain()


def same(volume, hu, kind=np.int16) -> None:
    assert volume.array.dtype == kind
    np.testing.assert_array_equal(volume.array, hu)
    assert volume.geometry.spacing == pytest.approx((7.5, 6.5, 6.5))
    np.testing.assert_allclose(volume.geometry.affine[:3, 3], (156, 156, 0))


SHIFTS = {
    "one for all": [(1.0, -1024.0)] * 12,
    "two blocks": [(1.0, -1024.0)] * 6 + [(1.0, -2048.0)] * 6,
    "every slice": [(1.0, -1024.0 - 16 * n) for n in range(12)],
    "first differs": [(1.0, -1500.0)] + [(1.0, -1024.0)] * 11,
    "slopes": [(1.0 + n % 2, -1024.0) for n in range(12)],
}
ORDERS = {
    "in order": list(range(12)),
    "backwards": list(range(11, -1, -1)),
    "odd after even": [*range(0, 12, 2), *range(1, 12, 2)],
    "shuffled": [7, 2, 11, 0, 5, 9, 3, 1, 10, 8, 4, 6],
}


def even(hu: np.ndarray, shifts: list) -> np.ndarray:
    """HU that every slope of the family can store."""
    return hu // 2 * 2 if any(slope == 2 for slope, _ in shifts) else hu


@pytest.mark.parametrize("shifts", SHIFTS.values(), ids=SHIFTS)
def test_each_classic_slice_has_its_own_rescale(phantom, hu, tmp_path, shifts):
    hu = even(hu, shifts)
    same(read_volume(phantom.classic(tmp_path / "a", hu, rescale=shifts)), hu)


@pytest.mark.parametrize("shifts", SHIFTS.values(), ids=SHIFTS)
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_each_frame_has_its_own_rescale_and_place(phantom, hu, tmp_path, order, shifts):
    hu = even(hu, shifts)
    phantom.enhanced(tmp_path / "a" / "1.dcm", hu, order=order, rescale=shifts)
    same(read_volume(tmp_path / "a"), hu)


def test_rescale_that_all_frames_share(phantom, hu, tmp_path):
    phantom.enhanced(tmp_path / "1.dcm", hu, shared_rescale=True)
    same(read_volume(tmp_path), hu)


def test_groups_in_every_writing(phantom, hu, tmp_path):
    """Sequences of undefined length, implicit form, no shared groups, rescale where it does not belong."""
    from pydicom.uid import ImplicitVRLittleEndian

    def undefined(data):
        for one in data.iterall():
            if one.VR == "SQ":
                one.is_undefined_length = True
                for item in one.value:
                    item.is_undefined_length_sequence_item = True

    def implicit(data):
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        data["PixelData"].VR = "OW"

    def unshared(data):
        (shared,) = data.SharedFunctionalGroupsSequence
        for frame in data.PerFrameFunctionalGroupsSequence:
            frame.update(shared)
        del data.SharedFunctionalGroupsSequence

    def outside(data):
        for frame in data.PerFrameFunctionalGroupsSequence:
            del frame.PixelValueTransformationSequence
        data.RescaleSlope, data.RescaleIntercept = 1, -1024

    def both(data):
        data.RescaleSlope, data.RescaleIntercept = 1, 777

    for n, changes in enumerate(([undefined], [implicit], [undefined, implicit], [unshared], [outside], [both])):

        def change(data, changes=changes):
            for one in changes:
                one(data)

        path = phantom.enhanced(tmp_path / f"{n}" / "1.dcm", hu, change=change)
        same(read_volume(path.parent), hu)
        same(read_volume(path), hu)  # the file itself


@pytest.mark.parametrize("legacy", [False, True])
def test_frames_in_several_files_are_one_volume(phantom, hu, tmp_path, legacy):
    for n, order in enumerate(([11, 3, 5], [0, 1, 2, 4], [6, 10, 8, 7], [9])):
        phantom.enhanced(tmp_path / f"{n}.dcm", hu, order=order, legacy=legacy)
    same(read_volume(tmp_path), hu)


def test_a_converted_series_is_the_series(phantom, hu, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        phantom.legacy_converted(tmp_path / "new" / "1.dcm", phantom.classic(tmp_path / "old", hu))
    same(read_volume(tmp_path / "new"), hu)


def test_slices_of_files_and_frames_may_be_mixed(phantom, hu, tmp_path):
    phantom.classic(tmp_path, hu[:5])
    phantom.enhanced(tmp_path / "rest.dcm", hu, order=range(5, 12))
    same(read_volume(tmp_path), hu)


def test_fractions_are_kept_and_nothing_wraps(phantom, hu, tmp_path):
    halves = [(0.5, -1024.0)] * 12
    same(read_volume(phantom.classic(tmp_path / "whole", hu, rescale=halves)), hu)
    array = hu + np.where(np.arange(12) == 7, 0.5, 0.0)[:, None, None]

    def store(data, n):
        data.PixelData = np.round((array[n] + 1024) * 2).astype("<u2").tobytes()

    folder = phantom.classic(tmp_path / "half", hu, rescale=halves, change=store)
    same(read_volume(folder), array, np.float32)
    high = hu.copy()
    high[3, 10, 10] = 16000

    def wide(data, n):
        data.RescaleSlope, data.RescaleIntercept = 10, -1000
        data.PixelData = np.round((high[n] // 10 * 10 + 1000) / 10).astype("<u2").tobytes()

    same(read_volume(phantom.classic(tmp_path / "high", hu, change=wide)), high // 10 * 10)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("bits", "stored", "high"), [(16, 16, 15), (16, 12, 11), (16, 12, 15), (32, 32, 31)])
def test_types_of_voxels(phantom, hu, tmp_path, order, signed, bits, stored, high):
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

    def change(data, n):
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if order == "<" else ExplicitVRBigEndian
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = bits, stored, high, signed
        data.RescaleIntercept = 0 if signed else -1024
        values = (hu[n].astype(int) - int(data.RescaleIntercept)) << (high + 1 - stored)
        data.PixelData = values.astype(f"{order}{'i' if signed else 'u'}{bits // 8}").tobytes()
        data["PixelData"].VR = "OW"

    def write(folder):
        folder.mkdir()
        for n in range(len(hu)):
            data = one(n)
            change(data, n)
            data.save_as(folder / f"{n}.dcm", enforce_file_format=True, little_endian=order == "<", implicit_vr=False)
        return folder

    datasets = []
    phantom.classic(tmp_path / "base", hu, change=lambda data, n: datasets.append(data))

    def one(n):
        return datasets[n]

    same(read_volume(write(tmp_path / "a")), hu)


def test_a_ct_of_eight_bits_and_of_implicit_form(phantom, hu, tmp_path):
    from pydicom.uid import ImplicitVRLittleEndian

    coarse = hu // 10 * 10

    def change(data, n):
        data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
        data.RescaleSlope, data.RescaleIntercept = 10, -1000
        data.PixelData = ((coarse[n] + 1000) // 10).astype(np.uint8).tobytes()
        data["PixelData"].VR = "OW"
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    same(read_volume(phantom.classic(tmp_path / "a", hu, change=change)), coarse)


def test_voxels_beyond_the_stored_bits_are_refused_by_name(phantom, hu, tmp_path):
    def change(data, n):
        data.BitsStored, data.HighBit = 12, 11
        if n == 4:
            values = np.frombuffer(data.PixelData, "<u2").copy()
            values[100] |= 0x8000  # an overlay, or a wrong header
            data.PixelData = values.tobytes()

    with pytest.raises(UnreadableFileError, match=r"12 bits") as caught:
        read_volume(phantom.classic(tmp_path / "a", hu, change=change))
    assert "4_0020.dcm" in caught.value.given


@pytest.mark.parametrize("value", [63536, 0])
def test_padding_becomes_air(phantom, hu, tmp_path, value):
    """-2000 stored as 63536 in 12 of 16 unsigned bits, as older scanners do; and 0, which is -1024 HU."""

    def change(data, n):
        data.BitsStored, data.HighBit, data.PixelPaddingValue = 12, 11, value
        values = np.frombuffer(data.PixelData, "<u2").copy()
        values[:7] = value
        data.PixelData = values.tobytes()

    wanted = hu.copy()
    wanted[:, 0, :7] = -1024
    same(read_volume(phantom.classic(tmp_path / "a", hu, change=change)), wanted)


def test_low_padding_is_clamped(phantom, hu, tmp_path):
    low = hu.copy()
    low[:, :3] = -3024

    def change(data, n):
        data.PixelRepresentation, data.RescaleIntercept = 1, 0
        data.PixelData = low[n].astype("<i2").tobytes()

    same(read_volume(phantom.classic(tmp_path / "a", hu, change=change)), np.maximum(low, -1024))


def by_itk(data, compressor: str, folder) -> None:
    """Compress with GDCM's own encoder, which pydicom lacks; the fragments are taken out of the file it writes."""
    import pydicom

    images = [sitk.GetImageFromArray(one) for one in np.atleast_3d(data.pixel_array).reshape(-1, 48, 48)]
    frames = []
    for image in images:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.SetFileName(str(folder / "frame.dcm"))
        writer.Execute(image)
        written = pydicom.dcmread(folder / "frame.dcm")
        frames += list(pydicom.encaps.generate_frames(written.PixelData, number_of_frames=1))
        data.file_meta.TransferSyntaxUID = written.file_meta.TransferSyntaxUID
    data.PixelData = pydicom.encaps.encapsulate(frames)
    data["PixelData"].is_undefined_length = True
    data["PixelData"].VR = "OB"


@pytest.mark.parametrize("way", ["RLELossless", "JPEGLSLossless", "itk JPEG2000", "itk JPEG"])
@pytest.mark.parametrize("form", ["classic", "signed", "enhanced"])
def test_compressed_slices_are_the_same_hu(phantom, hu, tmp_path, way, form):
    import pydicom.uid

    def change(data, n=None):
        if form == "signed":
            data.PixelRepresentation, data.RescaleIntercept = 1, 0
            data.PixelData = hu[n].astype("<i2").tobytes()
        if way.startswith("itk"):
            by_itk(data, way.removeprefix("itk "), tmp_path)
        else:
            data.compress(getattr(pydicom.uid, way), generate_instance_uid=False)

    shifts = SHIFTS["first differs"]
    if form == "enhanced":
        phantom.enhanced(tmp_path / "a" / "1.dcm", hu, rescale=shifts, order=ORDERS["shuffled"], change=change)
    else:
        phantom.classic(tmp_path / "a", hu, rescale=None if form == "signed" else shifts, change=change)
    same(read_volume(tmp_path / "a"), hu)


def test_a_compression_that_nobody_knows_is_named(phantom, hu, tmp_path):
    import pydicom.uid

    def change(data, n):
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        data.file_meta.TransferSyntaxUID = pydicom.uid.HTJ2KLossless

    with pytest.raises(UnreadableFileError, match=r"4_0000.dcm.*High-Throughput"):
        read_volume(phantom.classic(tmp_path, hu, change=change))


def test_a_deflated_file_is_read_and_its_bomb_is_not(phantom, hu, tmp_path, monkeypatch):
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    def change(data, n):
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    folder = phantom.classic(tmp_path, hu, change=change)
    same(read_volume(folder), hu)
    monkeypatch.setattr("MeWMLib.core.dicom.headers.max_voxel_bytes", lambda: -(64 << 20) + 2000)
    with pytest.raises(UnreadableFileError, match="unpacks to more"):
        read_volume(folder)


# what is refused, by name


@pytest.mark.parametrize("names", [("RescaleSlope",), ("RescaleIntercept",), ("RescaleSlope", "RescaleIntercept")])
@pytest.mark.parametrize("at", [0, 8, 11])
def test_a_slice_without_rescale_is_named(phantom, hu, tmp_path, names, at):
    def change(data, n):
        if n == at:
            for name in names:
                delattr(data, name)

    folder = phantom.classic(tmp_path / "a", hu, change=change)
    with pytest.raises(SeriesError, match="no rescale") as caught:
        read_volume(folder)
    assert f"4_{(5 * at) % 97:04d}.dcm (1 of 12 slices)" in caught.value.given

    def frame(data):
        value = data.PerFrameFunctionalGroupsSequence[at].PixelValueTransformationSequence[0]
        for name in names:
            delattr(value, name)

    phantom.enhanced(tmp_path / "b" / "1.dcm", hu, change=frame)
    with pytest.raises(SeriesError, match=f"1.dcm, frame {at + 1} "):
        read_volume(tmp_path / "b")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [("MGML", NotCTError, "MGML"), ("HU_MOD", NotCTError, "HU_MOD"), ("US", SeriesError, "differ in their units")],
)
def test_other_units_are_named(phantom, hu, tmp_path, value, error, text):
    def change(data, n):
        data.RescaleType = value if n == 3 else "HU"

    with pytest.raises(error, match=f"(?s){text}.*|4_0015.dcm") as caught:
        read_volume(phantom.classic(tmp_path / "a", hu, change=change))
    assert "4_0015.dcm" in caught.value.given


def test_what_every_slice_leaves_out_counts_as_hu(phantom, hu, tmp_path):
    """SimpleITK writes RescaleType US; some programs leave slope and intercept out of signed HU."""

    def bare(data, n):
        del data.RescaleSlope, data.RescaleIntercept, data.RescaleType
        data.PixelRepresentation, data.PixelData = 1, hu[n].astype("<i2").tobytes()

    same(read_volume(phantom.classic(tmp_path / "a", hu, change=bare)), hu)

    def unsaid(data, n):
        data.RescaleType = "US"

    same(read_volume(phantom.classic(tmp_path / "b", hu, change=unsaid)), hu)


def test_slope_zero_and_tables_are_refused(phantom, hu, tmp_path):
    from pydicom.dataset import Dataset

    def flat(data, n):
        data.RescaleSlope = 0 if n == 2 else 1

    with pytest.raises(SeriesError, match="slope of 0.*4_0010.dcm"):
        read_volume(phantom.classic(tmp_path / "a", hu, change=flat))

    def table(data, n):
        one = Dataset()
        one.LUTDescriptor, one.ModalityLUTType, one.LUTData = [2, 0, 16], "US", b"\0\0\1\0"
        data.ModalityLUTSequence = [one]

    with pytest.raises(NotCTError, match="Modality LUT"):
        read_volume(phantom.classic(tmp_path / "b", hu, change=table))


def test_frames_that_do_not_agree_with_the_file_are_refused_by_name(phantom, hu, tmp_path):
    def one_group_less(data):
        del data.PerFrameFunctionalGroupsSequence[4]

    def one_frame_more(data):
        data.NumberOfFrames = 13

    def fewer_voxels(data):
        data.PixelData = data.PixelData[: -2 * 48 * 48]

    def more_voxels(data):
        data.PixelData += bytes(2 * 48 * 48)

    def millions(data):
        data.NumberOfFrames = 2**31 - 1

    for n, change in enumerate((one_group_less, one_frame_more, fewer_voxels, more_voxels, millions)):
        phantom.enhanced(tmp_path / f"{n}" / f"file{n}.dcm", hu, change=change)
        with pytest.raises(UnreadableFileError, match=f"file{n}.dcm"):
            read_volume(tmp_path / f"{n}")


def test_a_declared_size_above_the_limit_is_refused_before_reading(phantom, hu, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_MAX_GIB", "0.00001")
    phantom.enhanced(tmp_path / "e" / "1.dcm", hu)
    for folder in (phantom.classic(tmp_path / "c", hu), tmp_path / "e"):
        with pytest.raises(InputError, match="more voxels"):
            read_volume(folder)


def test_hu_agree_with_an_independent_reader(phantom, hu, tmp_path):
    """SimpleITK reads a plain series right: same HU, same grid."""
    folder = phantom.classic(tmp_path, hu)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(names)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))
    point = np.array(image.TransformIndexToPhysicalPoint((3, 4, 5)))
    np.testing.assert_allclose(volume.geometry.to_ras((5, 4, 3)), point * (-1, -1, 1))


@pytest.mark.parametrize("form", ["classic", "enhanced"])
def test_memory_holds_the_voxels_about_once(phantom, tmp_path, form):
    hu = phantom.plain(40, 256)
    if form == "classic":
        phantom.classic(tmp_path, hu)
    else:
        phantom.enhanced(tmp_path / "1.dcm", hu)
    read_volume(tmp_path)  # what is imported on the way counts for nothing
    tracemalloc.start()
    volume = read_volume(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert volume.array.nbytes == hu.nbytes and peak < 1.6 * hu.nbytes


def test_every_error_is_one_of_ours(phantom, hu, tmp_path):
    """Bytes of a file are changed at random: a volume or a `MeWMError`, never another exception."""
    phantom.enhanced(tmp_path / "e" / "1.dcm", hu[:4])
    phantom.classic(tmp_path / "c", hu[:3])
    chance = np.random.default_rng(3)
    for path in (tmp_path / "e" / "1.dcm", sorted((tmp_path / "c").iterdir())[1]):
        whole = path.read_bytes()
        for _ in range(60):
            content = bytearray(whole)
            for at in chance.integers(132, min(len(content), 2500), 3):
                content[at] = int(chance.integers(256))
            path.write_bytes(content[: len(content) - int(chance.integers(2)) * int(chance.integers(len(content)))])
            try:
                read_volume(path.parent)
            except MeWMError:
                continue
        path.write_bytes(whole)


@pytest.mark.parametrize("spacing", [["-1", "1"], ["0", "0"], ["1", "-0.5"]])
def test_a_pixel_spacing_that_cannot_be_is_refused(phantom, tmp_path, spacing):
    folder = phantom.classic(
        tmp_path / "ct", phantom.plain(), change=lambda data, n: setattr(data, "PixelSpacing", spacing)
    )
    with pytest.raises(MeWMError, match="(?i)pixel ?spacing"):
        read_volume(folder)
