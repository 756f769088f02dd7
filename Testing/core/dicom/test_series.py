"""Which CT of a folder is read: what lies beside it, what is damaged, and the choice among several."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from MeWMLib.core.dicom.scan import scan
from MeWMLib.core.errors import MeWMError, NotCTError, SeriesError, UnreadableFileError
from MeWMLib.core.io import read_volume
from MeWMLib.perception.phase import guess_phase


@pytest.fixture
def hu(phantom):
    return phantom.plain()


#: Objects that a PACS stores beside a CT: SOP class and modality.
BESIDE = {
    "key object": ("1.2.840.10008.5.1.4.1.1.88.59", "KO"),
    "presentation state": ("1.2.840.10008.5.1.4.1.1.11.1", "PR"),
    "colour presentation state": ("1.2.840.10008.5.1.4.1.1.11.2", "PR"),
    "report": ("1.2.840.10008.5.1.4.1.1.88.33", "SR"),
    "dose report": ("1.2.840.10008.5.1.4.1.1.88.67", "SR"),
    "contours": ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
    "plan": ("1.2.840.10008.5.1.4.1.1.481.5", "RTPLAN"),
    "dose": ("1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE"),
    "PDF": ("1.2.840.10008.5.1.4.1.1.104.1", "DOC"),
    "PDF that says CT": ("1.2.840.10008.5.1.4.1.1.104.1", "CT"),
    "registration": ("1.2.840.10008.5.1.4.1.1.66.1", "REG"),
    "fiducials": ("1.2.840.10008.5.1.4.1.1.66.2", "FID"),
    "surface segmentation": ("1.2.840.10008.5.1.4.1.1.66.5", "SEG"),
    "ECG": ("1.2.840.10008.5.1.4.1.1.9.1.1", "ECG"),
    "real-world values": ("1.2.840.10008.5.1.4.1.1.67", "RWV"),
    "parametric map": ("1.2.840.10008.5.1.4.1.1.30", "CT"),
    "raw data": ("1.2.840.10008.5.1.4.1.1.66", "CT"),
    "private": ("1.3.12.2.1107.5.9.1", "CT"),
    "screen capture": ("1.2.840.10008.5.1.4.1.1.7", "CT"),
    "MR": ("1.2.840.10008.5.1.4.1.1.4", "MR"),
    "directory": ("1.2.840.10008.1.3.10", ""),
    "CT class, other modality": ("1.2.840.10008.5.1.4.1.1.2", "PT"),
}


def object_beside(phantom, path, sop_class: str, modality: str, cut: bool = False):
    data = phantom.ct_dataset(sop_class, "99", str(path))
    data.Modality, data.SeriesNumber = modality, 99
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    if cut:
        path.write_bytes(path.read_bytes()[:-30])
    return path


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("kind", BESIDE.values(), ids=BESIDE)
def test_what_lies_beside_a_ct_harms_nothing(phantom, hu, tmp_path, kind, cut):
    phantom.classic(tmp_path, hu)
    object_beside(phantom, tmp_path / "4_0098.dcm", *kind, cut=cut)  # named as the slices are
    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)


@pytest.mark.parametrize("kind", BESIDE.values(), ids=BESIDE)
def test_results_above_the_series_do_not_hide_it(phantom, hu, tmp_path, kind):
    phantom.classic(tmp_path / "CT", hu)
    object_beside(phantom, tmp_path / "result.dcm", *kind)
    (tmp_path / "DICOMDIR").write_bytes(b"x" * 300)
    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)
    with pytest.raises(MeWMError, match="no CT|not a CT"):
        object_beside(phantom, tmp_path / "alone" / "result.dcm", *kind)
        read_volume(tmp_path / "alone")


@pytest.mark.parametrize("type_", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segmentations_beside_a_ct_harm_nothing(phantom, hu, tmp_path, type_):
    import pydicom

    folder = phantom.classic(tmp_path, hu)
    sources = sorted((pydicom.dcmread(p) for p in folder.iterdir()), key=lambda d: d.ImagePositionPatient[2])
    phantom.segmentation(folder / "4_0099.dcm", sources, [hu > 0], [("Liver", "10200004", "Liver")], type_)
    for name, content in (("VERSION", b"1"), ("thumb.jpg", b"\xff\xd8" * 99), ("README.TXT", b"CT"), ("empty", b"")):
        (folder / name).write_bytes(content)
    np.testing.assert_array_equal(read_volume(folder).array, hu)


def test_what_systems_leave_in_a_folder_harms_nothing(phantom, hu, tmp_path):
    """Files of macOS are called as the slices are; voxels of another file may begin as a header does."""
    folder = phantom.classic(tmp_path, hu)
    for path in list(folder.iterdir()):
        (folder / f"._{path.name}").write_bytes(bytes.fromhex("0005160700020000") + b"Mac OS X" + bytes(80))
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._4_0000.dcm").write_bytes(b"")
    for name, content in ((".DS_Store", b"\0\0\0\1Bud1"), ("Thumbs.db", b"\xd0\xcf\x11\xe0"), ("a.zip", b"PK\3\4")):
        (folder / name).write_bytes(content)
    (folder / "labels.raw").write_bytes(b"\x08\0" * 500)
    np.testing.assert_array_equal(read_volume(folder).array, hu)


def test_a_scout_above_the_series_does_not_hide_it(phantom, hu, tmp_path):
    def scout(data, n):
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    phantom.classic(tmp_path, hu[:1], series="1", change=scout)
    phantom.classic(tmp_path / "4", hu)
    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)
    phantom.classic(tmp_path, hu[:9] + 1, series="2")  # a volume of the folder itself counts
    np.testing.assert_array_equal(read_volume(tmp_path).array, hu[:9] + 1)


def test_links_are_followed_once_and_a_broken_one_harms_nothing(phantom, hu, tmp_path):
    folder = phantom.classic(tmp_path / "data" / "4", hu)
    view = tmp_path / "view"
    view.mkdir()
    for name in ("series", "again"):
        (view / name).symlink_to(folder)
    (folder / "up").symlink_to(tmp_path)
    (folder / "latest").symlink_to(tmp_path / "gone")
    np.testing.assert_array_equal(read_volume(view).array, hu)
    assert len(scan(tmp_path).slices) == len(hu)
    (folder / "4_0099.dcm").symlink_to(tmp_path / "gone")
    with pytest.raises(UnreadableFileError, match="4_0099.dcm"):
        read_volume(view)


@pytest.mark.parametrize("change", ["spacing", "axes"])
def test_values_that_cannot_be_true_are_refused_where_there_is_no_other_series(phantom, hu, tmp_path, change):
    def spoil(data, n):
        if change == "spacing":
            data.PixelSpacing = [-6.5, 6.5]
        else:
            data.ImageOrientationPatient = [0.9, 0, 0, 0, 0.9, 0]

    with pytest.raises(SeriesError, match="cannot be true"):
        read_volume(phantom.classic(tmp_path, hu, change=spoil))


# damaged files


@pytest.mark.parametrize("form", ["empty", "no magic", "zeros", "cut header", "cut voxels", "text"])
@pytest.mark.parametrize("at", [0, 5, 11])
def test_a_damaged_slice_is_named(phantom, hu, tmp_path, form, at):
    folder = phantom.classic(tmp_path, hu)
    path = folder / f"4_{(5 * at) % 97:04d}.dcm"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "no magic": whole[:128] + b"XXXX" + whole[132:],
            "zeros": bytes(len(whole)),
            "cut header": whole[:500],
            "cut voxels": whole[:-2],
            "text": b"gone",
        }[form]
    )
    with pytest.raises(UnreadableFileError, match=path.name):
        read_volume(folder)


def test_names_without_suffix_are_known_by_their_pattern(phantom, hu, tmp_path):
    folder = phantom.classic(tmp_path, hu)
    for n, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"IM{n:06d}")
    (folder / "IM000011").write_bytes(b"")
    (folder / "NOTES").write_bytes(b"")
    with pytest.raises(UnreadableFileError, match="IM000011") as caught:
        read_volume(folder)
    assert "NOTES" not in str(caught.value)


def test_a_damaged_file_of_another_series_harms_nothing(phantom, hu, tmp_path):
    phantom.classic(tmp_path / "a", hu)
    other = phantom.classic(tmp_path / "b", hu[:9] + 1, series="9")
    broken = sorted(other.iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:-2])
    np.testing.assert_array_equal(read_volume(tmp_path, series="4").array, hu)
    with pytest.raises(UnreadableFileError, match=broken.name):
        read_volume(tmp_path, series="9")
    for path in other.iterdir():  # all in one folder: the header still says whose file it is
        path.rename(tmp_path / "a" / path.name)
    np.testing.assert_array_equal(read_volume(tmp_path / "a", series="4").array, hu)
    with pytest.raises(SeriesError, match="damaged"):
        read_volume(tmp_path / "a")


def test_a_missing_slice_or_frame_or_position_is_refused(phantom, hu, tmp_path):
    places = [7.5 * n for n in range(12)]
    del places[6]
    with pytest.raises(SeriesError, match="missing"):
        read_volume(phantom.classic(tmp_path / "a", np.delete(hu, 6, 0), places=places))
    phantom.enhanced(tmp_path / "b" / "1.dcm", hu, order=[n for n in range(12) if n != 6])
    with pytest.raises(SeriesError, match="missing.*frame 6"):
        read_volume(tmp_path / "b")

    def nowhere(data, n=None):
        if n is None:
            del data.PerFrameFunctionalGroupsSequence[6].PlanePositionSequence
        elif n == 6:
            del data.ImagePositionPatient

    with pytest.raises(SeriesError, match="no position.*4_0030.dcm"):
        read_volume(phantom.classic(tmp_path / "c", hu, change=nowhere))
    phantom.enhanced(tmp_path / "d" / "1.dcm", hu, change=nowhere)
    with pytest.raises(SeriesError, match="no position.*1.dcm, frame 7"):
        read_volume(tmp_path / "d")


def test_copies_are_dropped_and_a_name_for_two_slices_is_refused(phantom, hu, tmp_path):
    folder = phantom.classic(tmp_path, hu)
    whole = (folder / "4_0020.dcm").read_bytes()
    (folder / "copy of 4.dcm").write_bytes(whole)
    np.testing.assert_array_equal(read_volume(folder).array, hu)
    (folder / "copy of 4.dcm").write_bytes(whole[:-2000] + bytes(2000))
    with pytest.raises(SeriesError, match="one SOPInstanceUID.*4_0020.dcm, copy of 4.dcm"):
        read_volume(folder)


# several volumes


def listed(error: MeWMError) -> dict[str, str]:
    """What to type for every line of a list, and the line."""
    lines = error.given.split("\n")[1:]
    return {re.match(r"  series ([^\s,:]+)", line)[1]: line for line in lines}


@pytest.mark.parametrize("same", [True, False])
def test_a_slice_that_was_sent_in_two_forms_is_one(phantom, hu, tmp_path, same):
    import pydicom
    from pydicom.uid import RLELossless

    folder = phantom.classic(tmp_path, hu)
    for path in list(folder.iterdir()):
        data = pydicom.dcmread(path)
        if not same and path.name == "4_0015.dcm":
            data.PixelData = data.PixelData[:-2] + b"\0\0"
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(folder / f"c{path.name}")
    if same:
        np.testing.assert_array_equal(read_volume(folder).array, hu)
    else:
        with pytest.raises(SeriesError, match=r"(?s)hold different slices.*c?4_0015.dcm"):
            read_volume(folder)


@pytest.mark.parametrize("form", ["temporal", "nothing", "interleaved", "files"])
def test_two_phases_in_one_series_are_split_and_each_can_be_had(phantom, hu, tmp_path, form):
    both, places = np.concatenate([hu, hu + 50]), [7.5 * n for n in range(12)] * 2
    turns = [n + 12 * phase for n in range(12) for phase in (0, 1)]
    if form == "files":
        phantom.enhanced(tmp_path / "a.dcm", hu)
        phantom.enhanced(tmp_path / "b.dcm", hu + 50)
    else:
        temporal = [1] * 12 + [2] * 12 if form == "temporal" else None
        order = turns if form == "interleaved" else [*range(12, 24), *range(12)] if form == "temporal" else None
        phantom.enhanced(tmp_path / "a.dcm", both, places=places, temporal=temporal, order=order)
    with pytest.raises(SeriesError, match="Several volumes") as caught:
        read_volume(tmp_path)
    lines = listed(caught.value)
    assert list(lines) == ["4/part1", "4/part2"] and all("12 slices" in line for line in lines.values())
    found = [read_volume(tmp_path, series=key).array for key in lines]
    offsets = sorted(int((array - hu).max()) for array in found)
    assert offsets == [0, 50] and all(int(np.ptp(array - hu)) == 0 for array in found)
    for typed in ("4/part 2", "4/2", " 4 / PART2 ", "4/part 2 of 2"):
        np.testing.assert_array_equal(read_volume(tmp_path, series=typed).array, found[1])


def test_every_line_of_a_list_can_be_typed(phantom, tmp_path):
    """Two dates with the same numbers, a stacked series, one too short: the list says what to type for each."""
    root = tmp_path
    arterial, portal = phantom.trunk("arterial")[0], phantom.trunk("portal")[0]
    count = len(portal)
    phantom.Series(portal).write(root / "a")
    phantom.Series(portal[:16], date="20010301").write(root / "b")
    places = [5.0 * k for k in range(count)] * 2
    stacked = phantom.Series(
        np.concatenate([arterial, portal]), number=7, acquisitions=["1"] * count + ["3"] * count, places=places
    )
    stacked.write(root / "c")
    phantom.Series(portal[:5], number=8).write(root / "d")
    with pytest.raises(SeriesError, match="more than one CT series") as caught:
        read_volume(root, phase_of=guess_phase)
    lines = listed(caught.value)
    assert len(lines) == 5 and {"7/1", "7/3", "8"} < set(lines) and "too short" in lines["8"]
    assert "arterial (" in lines["7/1"] and "portal (" in lines["7/3"] and "5 mm apart" in lines["7/3"]
    assert all("2001-0" in line and line.count(" 1.2.826") == 1 for line in lines.values())
    assert list(lines)[1:4] == ["7/1", "7/3", [*lines][3]] and "2001-03-01" in [*lines.values()][3]  # by date
    best = re.search(r"--series (\S+),", caught.value.remedy)[1]
    assert "portal (" in lines[best] and "26 slices" in lines[best]
    for key, line in lines.items():
        chosen = read_volume(root, series=key)
        assert f"{chosen.geometry.shape[0]} slices" in line
        assert key == "8" or f"{guess_phase(chosen).phase} (" in line
    with pytest.raises(SeriesError, match="more than one"):
        read_volume(root, series="4")
    with pytest.raises(SeriesError, match="no acquisition 9"):
        read_volume(root, series="7/9")
    with pytest.raises(SeriesError, match="no series 5"):
        read_volume(root, series="5")


def test_a_series_that_cannot_be_read_is_listed_with_its_reason(phantom, hu, tmp_path):
    phantom.classic(tmp_path / "a", hu)
    phantom.classic(tmp_path / "b", np.full_like(hu, 100), series="5")

    def phase(volume):
        return SimpleNamespace(phase="portal", confidence=0.987)

    with pytest.raises(SeriesError) as caught:
        read_volume(tmp_path, phase_of=phase)
    lines = listed(caught.value)
    assert "portal (99 %)" in lines["4"] and "cannot be read" in lines["5"] and "--series 4," in caught.value.remedy


def test_a_volume_keeps_its_frame_of_reference(phantom, tmp_path):
    folder = phantom.Series(phantom.trunk("arterial")[0]).write(tmp_path / "a")
    assert read_volume(folder).geometry.frame_of_reference == phantom.Series(np.zeros(1)).uid("frame")


def test_a_piece_of_the_same_series_is_not_dropped_in_silence(phantom, tmp_path):
    hu = phantom.trunk("portal")[0]

    def narrow(data, n):
        if n == 25:
            data.PixelSpacing = [4.1, 4.1]

    folder = phantom.Series(hu, change=narrow).write(tmp_path / "a")
    with pytest.raises(SeriesError, match="differ in size, orientation or pixel spacing"):
        read_volume(folder)

    def scout(data, n):
        if n == 25:
            data.ImageType, data.Rows = ["ORIGINAL", "PRIMARY", "LOCALIZER"], 48
            data.PixelData = data.PixelData[: 48 * 96 * 2]

    folder = phantom.Series(hu, change=scout).write(tmp_path / "b")
    np.testing.assert_array_equal(read_volume(folder).array, hu[:25])


def test_a_slice_that_was_moved_in_its_plane_is_refused(phantom, hu, tmp_path):
    def move(data, n):
        if n == 5:
            data.ImagePositionPatient = [-140.0, -156.0, 37.5]

    with pytest.raises(MeWMError, match="shifted against the others.*4_0025.dcm"):
        read_volume(phantom.classic(tmp_path, hu, change=move))


def test_another_modality_alone_is_not_a_ct(phantom, tmp_path):
    object_beside(phantom, tmp_path / "a" / "1", "1.2.840.10008.5.1.4.1.1.4", "MR")
    with pytest.raises(NotCTError, match="1 slices of MR"):
        read_volume(tmp_path / "a")
