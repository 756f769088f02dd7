"""Reading and writing: round trips, and one bad file for every error that is promised."""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core import io
from MeWMLib.core.errors import (
    GeometryError,
    GeometryMismatchError,
    LabelError,
    NotCTError,
    OutcomeError,
    OutputError,
    SeriesError,
    UnreadableFileError,
)
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume

DATA = Path(os.environ.get("MEWM_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
ARCHIVE = DATA / "HCC-TACE-Seg_HCC_009_dicom.tar.xz"


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def geometry(shape=(6, 7, 8), spacing=(1.0, 2.0, 3.0), degrees=0.0, flip=1.0) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ np.diag(np.array(spacing) * [-1, -1, flip])
    affine[:3, 3] = (10, -20, 30)
    return Geometry(shape, affine)


def ct(dtype=np.int16, **grid) -> Volume:
    grid = geometry(**grid)
    array = np.random.default_rng(0).integers(-1000, 1000, grid.shape).astype(dtype)
    array.flat[:2] = (-1000, 1000)
    return Volume(array, grid)


def save(array: np.ndarray, path: Path, spacing=(1.0, 2.0, 3.0)) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[: image.GetDimension()] + (1.0,) * (image.GetDimension() - 3))
    sitk.WriteImage(image, str(path))
    return path


def write_dicom(folder: Path, array: np.ndarray, *, number="4", modality="CT", places=None, acquisitions=None, **tags):
    """Write int16 slices (K, J, I) as uncompressed DICOM."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    uid = f"1.2.826.0.1.3680043.2.1125.{number}"
    for k, pixels in enumerate(array):
        image = sitk.GetImageFromArray(pixels[None])
        place = 2.5 * k if places is None else places[k]
        image.SetOrigin((-100.0, -120.0, place))
        image.SetSpacing((0.7, 0.8, 2.5))
        keys = {
            "0008|0060": modality,
            "0008|103e": "Portal",
            "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
            "0020|000e": uid,
            "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
            "0008|0018": f"{uid}.{k}",
            "0020|0011": number,
            "0020|0012": "1" if acquisitions is None else acquisitions[k],
            "0020|0032": f"-100\\-120\\{place:g}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|0030": "0.8\\0.7",
            **tags,
        }
        for key, value in keys.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{number}_{(k * 7) % 97:03d}.dcm"))  # names in another order than positions
        writer.Execute(image)
    return folder


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_a_volume_keeps_bits_type_and_grid(tmp_path, suffix, dtype):
    volume = ct(dtype, degrees=20, flip=-1.0)
    image = io.to_sitk(volume)
    sitk.WriteImage(image, str(tmp_path / f"ct{suffix}"))
    read = io.read_volume(tmp_path / f"ct{suffix}")
    assert read.array.dtype == dtype
    assert np.array_equal(read.array, volume.array)
    assert np.allclose(read.geometry.affine, volume.geometry.affine, atol=1e-4)
    assert read.phase == "unknown" and read.simulated is None


def test_the_affine_is_ras_where_itk_is_lps(tmp_path):
    path = save(ct().array, tmp_path / "ct.nrrd")
    image = sitk.ReadImage(str(path))
    point = np.array(image.TransformContinuousIndexToPhysicalPoint((1.0, 2.0, 3.0)))
    assert np.allclose(io.read_volume(path).geometry.to_ras((3, 2, 1)), point * (-1, -1, 1))


def test_write_volume_keeps_phase_and_provenance(tmp_path):
    mark = Provenance("Epirubicin 30 mg + Lipiodol 10 ml (emulsion)", 7, "hcc", "ab" * 32, {"torch": "2.13"})
    volume = Volume(ct().array, geometry(), "portal", mark)
    io.write_volume(volume, tmp_path / "out" / "a b.nrrd")
    read = io.read_volume(tmp_path / "out" / "a b.nrrd")
    assert read.simulated == mark and read.simulated.versions == mark.versions
    assert read.phase == "portal" and np.array_equal(read.array, volume.array)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a b.nrrd"]
    with pytest.raises(OutcomeError, match="mark"):
        io.write_volume(volume, tmp_path / "out.nii.gz")


def test_a_simulated_file_without_its_origin_is_refused(tmp_path):
    image = io.to_sitk(ct())
    image.SetMetaData("MeWM_SIMULATED", "1")
    sitk.WriteImage(image, str(tmp_path / "x.nrrd"))
    with pytest.raises(UnreadableFileError, match="simulated"):
        io.read_volume(tmp_path / "x.nrrd")


def test_padding_becomes_air(tmp_path):
    array = ct().array
    array[0] = -3024
    assert io.read_volume(save(array, tmp_path / "p.nrrd")).array.min() == -1024


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"ct{suffix}"
    io.write_volume(ct(shape=(20, 30, 40)), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnreadableFileError):
        io.read_volume(path)


def test_a_cut_raw_nrrd_and_a_damaged_gzip_are_refused(tmp_path):
    path = tmp_path / "ct.nrrd"
    sitk.WriteImage(io.to_sitk(ct(shape=(20, 30, 40))), str(path), False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFileError, match="ends early"):
        io.read_volume(path)
    path = tmp_path / "ct.nii.gz"
    io.write_volume(ct(shape=(20, 30, 40)), path)
    content = bytearray(path.read_bytes())
    content = content[:-4] + struct.pack("<I", 12345)  # trailer lies: the content is counted instead
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError):
        io.read_volume(path)


def test_a_gzip_of_two_members_is_whole(tmp_path):
    path = tmp_path / "ct.nii"
    io.write_volume(ct(), path)
    content = path.read_bytes()
    (tmp_path / "two.nii.gz").write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))
    assert np.array_equal(io.read_volume(tmp_path / "two.nii.gz").array, ct().array)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.nrrd", "x.mha"])
@pytest.mark.parametrize("head", [b"\xff\xd8\xff\xe0", b"\x89PNG", b"text"])
def test_another_format_under_a_wrong_name_is_refused(tmp_path, name, head):
    (tmp_path / name).write_bytes(head + b"x" * 5000)
    with pytest.raises(UnreadableFileError, match="whatever its name says"):
        io.read_volume(tmp_path / name)


def test_missing_unknown_and_single_dicom(tmp_path):
    with pytest.raises(UnreadableFileError, match="no such file"):
        io.read_volume(tmp_path / "missing.nii.gz")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(UnreadableFileError, match=r"ends in \.nii"):
        io.read_volume(tmp_path / "a.jpg")
    (tmp_path / "a.dcm").write_bytes(b"x")
    with pytest.raises(UnreadableFileError, match="folder of the series"):
        io.read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize("value", [0.0, float("nan"), 500.0])
def test_absurd_spacing_is_refused(tmp_path, value):
    path = save(ct().array, tmp_path / "x.nii")
    content = bytearray(path.read_bytes())
    content[80:84] = struct.pack("<f", value)
    path.write_bytes(content)
    with pytest.raises(GeometryError, match="spacing"):
        io.read_volume(path)
    for suffix, old, new in ((".nrrd", "(1,0,0)", "(%g,0,0)"), (".mha", "ElementSpacing = 1", "ElementSpacing = %g")):
        path = tmp_path / f"x{suffix}"
        save(ct().array, path)
        if np.isfinite(value):
            path.write_bytes(path.read_bytes().replace(old.encode(), (new % value).encode()))
            with pytest.raises(GeometryError, match="spacing"):
                io.read_volume(path)


def test_sheared_axes_are_refused(tmp_path):
    path = save(ct().array, tmp_path / "x.nrrd")
    path.write_bytes(path.read_bytes().replace(b"(1,0,0)", b"(1,0.5,0)"))
    with pytest.raises(GeometryError, match="sheared"):
        io.read_volume(path)


def test_four_dimensions_and_colour_are_refused(tmp_path):
    image = io.to_sitk(ct())
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(tmp_path / "4d.nii.gz"))
    with pytest.raises(NotCTError, match="4 dimensions"):
        io.read_volume(tmp_path / "4d.nii.gz")
    sitk.WriteImage(sitk.JoinSeries([image]), str(tmp_path / "one.nii.gz"))
    assert np.array_equal(io.read_volume(tmp_path / "one.nii.gz").array, ct().array)
    for name in ("rgb.nrrd", "rgb.nii.gz"):
        sitk.WriteImage(sitk.Compose([image, image, image]), str(tmp_path / name))
        with pytest.raises(NotCTError, match="several channels"):
            io.read_volume(tmp_path / name)
    save(ct().array[0], tmp_path / "2d.nii.gz", (1.0, 1.0))
    with pytest.raises(NotCTError, match="dimensions"):
        io.read_volume(tmp_path / "2d.nii.gz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.linspace(0, 1, 336, dtype=np.float32), "normalised"),
        (np.linspace(-1, 1, 336, dtype=np.float32), "normalised"),
        (np.linspace(-60, 60, 336, dtype=np.float32), "span too little"),
        (np.arange(336, dtype=np.int16) % 3, "label map"),
        ((np.arange(336) % 256).astype(np.uint8), "picture"),
        (np.arange(336, dtype=np.int16) * 4, "no fat and no air"),
        (np.linspace(-1000, 30000, 336, dtype=np.float32), "too high"),
        (np.linspace(-1000, -500, 336, dtype=np.float32), "denser than water"),
        (np.where(np.arange(336) == 5, np.nan, np.linspace(-1000, 500, 336)).astype(np.float32), "NaN"),
    ],
)
def test_values_that_are_not_a_ct_are_refused(tmp_path, array, message):
    with pytest.raises(NotCTError, match=message):
        io.read_volume(save(array.reshape(6, 7, 8), tmp_path / "x.nrrd"))


def test_a_ct_clipped_at_minus_200_passes(tmp_path):
    array = np.clip(ct().array, -200, 250)
    assert np.array_equal(io.read_volume(save(array, tmp_path / "x.nrrd")).array, array)


# DICOM


def test_a_series_is_ordered_by_position_and_keeps_its_grid(tmp_path):
    array = ct(shape=(5, 12, 10)).array
    volume = io.read_volume(write_dicom(tmp_path / "case" / "study" / "series", array).parents[1])
    assert volume.array.dtype == np.int16 and np.array_equal(volume.array, array)
    assert np.allclose(volume.geometry.spacing, (2.5, 0.8, 0.7))
    assert np.allclose(volume.geometry.affine[:3, 3], (100, 120, 0))


def test_two_series_are_listed_and_one_can_be_chosen(tmp_path):
    array = ct(shape=(5, 12, 10)).array
    write_dicom(tmp_path / "a", array, number="4")
    write_dicom(tmp_path / "b", array[:4] + 1, number="9")
    with pytest.raises(
        SeriesError, match='(?s)series 4 "Portal": 5 slices.*series 9 "Portal": 4 slices.*--series'
    ) as caught:
        io.read_volume(tmp_path)
    assert "sub-folder" in caught.value.remedy
    lines = str(caught.value).splitlines()
    listed = [line.split(",")[0] for line in lines[2:4]]
    assert listed == ['  series 4 "Portal": 5 slices', '  series 9 "Portal": 4 slices']
    assert lines[4].startswith("Choose one with --series") and len(lines) == 5
    assert np.array_equal(io.read_volume(tmp_path, series="9").array, array[:4] + 1)
    assert io.read_volume(tmp_path, series="1.2.826.0.1.3680043.2.1125.4").geometry.shape == array.shape
    with pytest.raises(SeriesError, match="no series 5"):
        io.read_volume(tmp_path, series="5")


def test_missing_and_uneven_slices_are_refused(tmp_path):
    array = ct(shape=(6, 12, 10)).array
    with pytest.raises(SeriesError, match="missing.*5.00 mm after slice 3"):
        io.read_volume(write_dicom(tmp_path / "gap", array, places=[0, 2.5, 5, 10, 12.5, 15]))
    with pytest.raises(SeriesError, match="evenly"):
        io.read_volume(write_dicom(tmp_path / "uneven", array, places=[0, 2.5, 5, 8, 10, 12.5]))
    with pytest.raises(SeriesError, match="only one slice"):
        io.read_volume(write_dicom(tmp_path / "one", array[:1]))


def test_stacked_acquisitions_are_refused_and_can_be_split(tmp_path):
    array = ct(shape=(6, 12, 10)).array
    folder = write_dicom(tmp_path, array, places=[0, 2.5, 5] * 2, acquisitions=list("111222"))
    with pytest.raises(SeriesError, match="(?s)Several acquisitions.*acquisition 1: 3.*acquisition 2: 3.*--series 4/1"):
        io.read_volume(folder)
    assert np.array_equal(io.read_volume(folder, series="4/2").array, array[3:])
    with pytest.raises(SeriesError, match="no acquisition 3"):
        io.read_volume(folder, series="4/3")
    same = write_dicom(tmp_path / "same", array, places=[0, 2.5, 5] * 2)
    with pytest.raises(SeriesError, match="(?s)4/part1.*4/part2.*series of its own"):
        io.read_volume(same)
    assert np.array_equal(io.read_volume(same, series="4/part 2").array, array[3:])


def test_other_modalities_scouts_and_empty_folders(tmp_path):
    array = ct(shape=(3, 12, 10)).array
    with pytest.raises(NotCTError, match="3 slices of MR"):
        io.read_volume(write_dicom(tmp_path / "mr", array, modality="MR"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("x" * 500)
    with pytest.raises(SeriesError, match="no DICOM file"):
        io.read_volume(tmp_path / "empty")
    write_dicom(tmp_path / "study" / "scout", array[:1], number="1", **{"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"})
    write_dicom(tmp_path / "study" / "axial", array, number="2")
    assert np.array_equal(io.read_volume(tmp_path / "study").array, array)


def test_gantry_tilt_and_mixed_sizes_are_refused(tmp_path):
    array = ct(shape=(3, 12, 10)).array
    tilt = {"0020|0037": "1\\0\\0\\0\\0.966\\-0.259"}
    with pytest.raises(GeometryError, match="gantry tilt"):
        io.read_volume(write_dicom(tmp_path / "tilt", array, **tilt))
    write_dicom(tmp_path / "mixed", array)
    write_dicom(tmp_path / "more", array[:, :8])
    for n, path in enumerate(sorted((tmp_path / "more").iterdir())):
        path.rename(tmp_path / "mixed" / f"x{n}.dcm")
    with pytest.raises(SeriesError, match="differ in size"):
        io.read_volume(tmp_path / "mixed")


@pytest.mark.parametrize("keep", [200, 0.6, 0.97])
def test_a_cut_slice_is_refused(tmp_path, keep):
    folder = write_dicom(tmp_path, ct(shape=(3, 60, 60)).array)
    path = sorted(folder.iterdir())[1]
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises((UnreadableFileError, SeriesError)):
        io.read_volume(folder)


# labels


def labels() -> LabelMap:
    array = np.zeros(geometry().shape, np.uint8)
    array[1:5, 1:6, 1:7] = 1
    array[2:4, 2:4, 2:4] = 2
    return LabelMap(array, geometry())


@pytest.mark.parametrize("name", ["l.seg.nrrd", "l.nrrd", "l.nii.gz", "l.mha"])
def test_labels_round_trip(tmp_path, name):
    io.write_labels(labels(), tmp_path / name)
    assert np.array_equal(io.read_labels(tmp_path / name, geometry()).array, labels().array)


def test_a_seg_nrrd_has_what_slicer_reads(tmp_path):
    io.write_labels(labels(), tmp_path / "l.seg.nrrd")
    header = (tmp_path / "l.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "Segment0_Name:=Liver" in header and "Segment1_Name:=Tumour" in header
    assert "Segment1_LabelValue:=2" in header and "Segment1_Extent:=2 3 2 3 2 3" in header
    assert "SCT^10200004^Liver" in header and "SCT^4147007^Mass" in header


def segmentation(path: Path, names, array: np.ndarray, layers=None, values=None) -> Path:
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    reference = io.to_sitk(ct())
    for setter in ("Spacing", "Origin", "Direction"):
        getattr(image, f"Set{setter}")(getattr(reference, f"Get{setter}")())
    for n, name in enumerate(names):
        image.SetMetaData(f"Segment{n}_Name", name)
        image.SetMetaData(f"Segment{n}_LabelValue", str(values[n] if values else n + 1))
        image.SetMetaData(f"Segment{n}_Layer", str(layers[n] if layers else 0))
    sitk.WriteImage(image, str(path))
    return path


def test_segments_are_known_by_name(tmp_path):
    swapped = np.array([0, 2, 1], np.uint8)[labels().array]
    path = segmentation(tmp_path / "s.seg.nrrd", ["HCC lesion", "Liver"], swapped)
    assert np.array_equal(io.read_labels(path, geometry()).array, labels().array)
    path = segmentation(tmp_path / "t.seg.nrrd", ["Liver tumor", "Necrosis", "liver"], swapped)
    with pytest.raises(LabelError, match='Necrosis.*--label-values "Necrosis='):
        io.read_labels(path, geometry())
    with pytest.raises(LabelError, match="Necrosis"):
        io.read_labels(path, geometry(), values={1: 2, 3: 1})
    assert np.array_equal(io.read_labels(path, geometry(), values={1: 2, 2: 1, 3: 0}).array, labels().array)


def test_a_seg_nrrd_with_the_colours_of_earlier_versions_is_read(tmp_path):
    path = tmp_path / "old.seg.nrrd"
    io.write_labels(labels(), path)
    content = re.sub(rb"# MeWM, SHA-256 .*\n", b"", path.read_bytes())  # earlier versions wrote no checksum
    earlier_colours = {"0.867 0.51 0.396": "0.866667 0.509804 0.396078", "0.25 0.82 1": "0.564706 0.933333 0.564706"}
    for colour, earlier in earlier_colours.items():
        assert colour.encode() in content
        content = content.replace(colour.encode(), earlier.encode())
    path.write_bytes(content)
    assert np.array_equal(io.read_labels(path, geometry()).array, labels().array)


def test_overlapping_layers_are_merged(tmp_path):
    both = np.stack([labels().liver, labels().tumour], -1).astype(np.uint8)
    path = segmentation(tmp_path / "s.seg.nrrd", ["Liver", "Tumour"], both, layers=[0, 1], values=[1, 1])
    path.write_bytes(path.read_bytes().replace(b"kinds: vector", b"kinds: list"))  # as Slicer writes it
    assert np.array_equal(io.read_labels(path, geometry()).array, labels().array)
    path = segmentation(tmp_path / "u.seg.nrrd", ["A", "B"], both, layers=[0, 1], values=[1, 1])
    assert np.array_equal(io.read_labels(path, geometry(), values={1: 1, 2: 2}).array, labels().array)


def test_a_segmentation_of_part_of_the_grid_is_put_in_place(tmp_path):
    part = labels().geometry.crop((1, 1, 1), (4, 5, 6))
    io.write_labels(LabelMap(labels().array[1:5, 1:6, 1:7].copy(), part), tmp_path / "p.seg.nrrd")
    assert np.array_equal(io.read_labels(tmp_path / "p.seg.nrrd", geometry()).array, labels().array)


def test_other_values_need_a_meaning(tmp_path):
    path = save((labels().array * 2 + (labels().array > 0)).astype(np.int16), tmp_path / "v.nrrd")  # 0, 3, 5
    grid = io.from_sitk(sitk.ReadImage(str(path)))[1]
    with pytest.raises(LabelError, match='values 0, 3, 5.*--label-values "3=.,5=.".*in place of'):
        io.read_labels(path, grid)
    values = io.parse_label_values("3=liver, 5=tumor,7=background")
    assert values == {3: 1, 5: 2, 7: 0}
    assert np.array_equal(io.read_labels(path, grid, values=values).array, labels().array)
    save(labels().array + np.float32(0.25), path)
    with pytest.raises(LabelError, match="fractions, not labels.*not probabilities"):
        io.read_labels(path, grid)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (float("nan"), r"no numbers \(NaN"),
        (float("inf"), r"no numbers \(NaN"),
        (-1.0, "values -1, 0, 1, 2.*0 for background"),
        (255.0, '--label-values "1=.,2=.,255=."'),
    ],
)
def test_values_that_are_no_labels_have_a_remedy_of_their_own(tmp_path, one, said):
    array = labels().array.astype(np.float32)
    array[0, 0, 0] = one
    with pytest.raises(LabelError, match=said):
        io.read_labels(save(array, tmp_path / "v.nrrd"), geometry())


@pytest.mark.parametrize(
    "text", ["", "1", "1=spleen", "=liver", "a=spleen", "1.5=liver", "1=liver,1=tumour", "-1=liver", "1=liver,", "1=?"]
)
def test_bad_label_values(text):
    with pytest.raises(LabelError):
        io.parse_label_values(text)


def test_another_grid_is_refused_or_resampled(tmp_path):
    io.write_labels(labels(), tmp_path / "l.nrrd")
    fine = geometry(shape=(12, 14, 16), spacing=(0.5, 1.0, 1.5))
    with pytest.raises(GeometryMismatchError, match="--resample-labels"):
        io.read_labels(tmp_path / "l.nrrd", fine)
    read = io.read_labels(tmp_path / "l.nrrd", fine, resample=True)
    assert read.geometry is fine and np.array_equal(read.array[::2, ::2, ::2], labels().array)
    with pytest.raises(UnreadableFileError, match="holds no DICOM segmentation"):
        io.read_labels(tmp_path, fine)


# writing


def test_a_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyError), io.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    with io.atomic_path(tmp_path / "x.seg.nrrd") as temporary:
        assert temporary.parent == tmp_path and temporary.name.endswith(".x.seg.nrrd")


def test_what_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        io.write_volume(ct(), tmp_path / "file" / "ct.nrrd")
    (tmp_path / "folder.nrrd").mkdir()
    with pytest.raises(OutputError):
        io.write_volume(ct(), tmp_path / "folder.nrrd")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.nrrd"]

    def full(image, name, **_):
        Path(name).write_bytes(b"NRRD0004\ntype: short\nsizes: 8 7 6\nencoding: gzip\n\n\x1f\x8b")

    monkeypatch.setattr(io.sitk, "WriteImage", full)  # a writer that does not notice the full disk
    with pytest.raises(OutputError, match="disk is full"):
        io.write_volume(ct(), tmp_path / "ct.nrrd")

    def fails(*_, **__):
        raise RuntimeError("sitk::ERROR: ITK ERROR: NrrdImageIO: Write: Error writing")

    monkeypatch.setattr(io.sitk, "WriteImage", fails)
    with pytest.raises(OutputError, match="could not be written"):
        io.write_labels(labels(), tmp_path / "l.seg.nrrd")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.nrrd"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="No permission to write"):
            io.write_volume(ct(), tmp_path / "ct.nrrd")
    finally:
        tmp_path.chmod(0o700)


def test_json(tmp_path):
    io.write_json({"b": "ö", "a": [1, None]}, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": "ö", "a": [1, None]} and text.index("b") < text.index("a") and "ö" in text
    for bad in (float("nan"), np.zeros(3)):
        with pytest.raises(OutputError, match="no JSON form"):
            io.write_json({"x": bad}, tmp_path / "y.json")
    assert not (tmp_path / "y.json").exists()


# real data


@pytest.fixture(scope="module")
def before_treatment(tmp_path_factory) -> Path:
    if not ARCHIVE.exists():
        pytest.skip(f"no real data at {ARCHIVE} (set MEWM_SHARED_DATA)")
    folder = tmp_path_factory.mktemp("hcc009")
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if "/03-20-1998" in member.name:
                break  # the study before treatment comes first; the rest need not be unpacked
            if "/02-15-1998" in member.name:
                archive.extract(member, folder, filter="data")
    return next(folder.glob("*/*/02-15-1998*"))


@pytest.mark.real_data
@pytest.mark.slow
def test_hcc_009_as_dicom_and_as_nifti(before_treatment):
    with pytest.raises(SeriesError, match="(?s)103.*69 slices.*20 slices|20 slices.*69 slices"):
        io.read_volume(before_treatment)
    found = {number: io.read_volume(before_treatment, series=number) for number in ("103", "4")}
    copy = io.read_volume(DATA / "hcc009_1p5mm" / "HCC_009_pre_portal_1p5mm.nii.gz")
    match = {}
    for number, volume in found.items():
        assert volume.geometry.shape == (69, 512, 512) and volume.array.dtype == np.int16
        assert np.allclose(volume.geometry.spacing, (2.5, 0.742188, 0.742188))
        resampled = sitk.Resample(io.to_sitk(volume), io.to_sitk(copy), sitk.Transform(), sitk.sitkLinear, -1024)
        match[number] = float(np.abs(sitk.GetArrayFromImage(resampled).astype(int) - copy.array).mean())
    assert min(match.values()) < 15, match  # HU; the other phase and any shift are far worse
    assert max(match.values()) > 1.5 * min(match.values())


@pytest.mark.real_data
def test_labels_of_hcc_009_need_their_meaning_and_the_grid():
    folder = DATA / "hcc009_1p5mm"
    if not folder.exists():
        pytest.skip(f"no real data at {folder} (set MEWM_SHARED_DATA)")
    portal = io.read_volume(folder / "HCC_009_pre_portal_1p5mm.nii.gz")
    arterial = io.read_volume(folder / "HCC_009_pre_arterial_1p5mm.nii.gz")
    path = folder / "HCC_009_pre_portal_seg4_APPROX_1p5mm.nii.gz"
    values = io.parse_label_values("1=liver,2=tumour,3=liver,4=background")
    with pytest.raises(LabelError, match="--label-values"):
        io.read_labels(path, portal.geometry)
    here = io.read_labels(path, portal.geometry, values=values)
    with pytest.raises(GeometryMismatchError, match="--resample-labels"):
        io.read_labels(path, arterial.geometry, values=values)
    there = io.read_labels(path, arterial.geometry, resample=True, values=values)
    assert there.tumour.sum() * there.geometry.voxel_ml == pytest.approx(
        here.tumour.sum() * here.geometry.voxel_ml, rel=0.02
    )
