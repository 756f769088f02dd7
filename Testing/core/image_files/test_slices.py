"""A file that is read slice by slice is the one that is read at once, and as damaged."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.errors import MeWMError, NotCTError, UnreadableFileError
from MeWMLib.core.image_files import read_header, read_image_file, read_slices
from MeWMLib.core.io import read_volume, write_volume
from MeWMLib.core.sliced import open_sliced
from MeWMLib.core.volume import Geometry, Provenance, Volume

#: Nearly all of it packs 1000 to 1, and is more than one block of what is unpacked at a time.
SHAPE = (9, 300, 500)


def image(dtype: str) -> np.ndarray:
    array = np.zeros(SHAPE, dtype)
    array[3, 20:200, 20:300] = np.random.default_rng(1).integers(-900, 900, (180, 280))
    array[8, -1, -1] = 77
    return array


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha", ".nii"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_slices_are_those_of_the_whole(tmp_path, ending, dtype):
    path = tmp_path / f"x{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(image(dtype)), str(path), useCompression=ending != ".nii")
    whole = read_image_file(path)
    slices = list(read_slices(path))
    assert len(slices) == SHAPE[0] and {one.dtype for one in slices} == {whole.array.dtype}
    assert np.array_equal(np.stack(slices), whole.array)
    shape, geometry, _ = read_header(path)
    assert shape == SHAPE and geometry.same_as(whole.geometry)


def test_damage_is_found_at_the_end_at_last(tmp_path):
    path = tmp_path / "x.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(image("int16")), str(path), useCompression=True)
    good = path.read_bytes()
    cases = {
        "cut": good[:-2000], "checksum": good[:-6] + bytes([good[-6] ^ 1]) + good[-5:], "more": good + b"\0",
        "short": good.replace(b"sizes: 500 300 9", b"sizes: 500 300 7"),
        "long": good.replace(b"sizes: 500 300 9", b"sizes: 500 300 11"),
    }  # fmt: skip
    for name, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(UnreadableFileError) as one:
            read_image_file(path)
        with pytest.raises(UnreadableFileError) as two:
            list(read_slices(path))
        assert str(one.value) == str(two.value), name
    with pytest.raises(UnreadableFileError, match="no such file"):
        list(read_slices(tmp_path / "none.nrrd"))


def test_a_ct_is_checked_as_a_whole_one(tmp_path):
    made_by = Provenance("Lipiodol", 1, "b", "0" * 64)
    array = image("int16").astype(np.int16) - 100
    array[0] = -2000
    path = tmp_path / "x.nrrd"
    write_volume(Volume(array, Geometry(SHAPE, np.eye(4)), "arterial", made_by), path)
    whole, ct = read_volume(path), open_sliced(path)
    assert np.array_equal(np.stack(list(ct.slices())), whole.array) and whole.array.min() == -1024
    assert (ct.phase, ct.simulated) == (whole.phase, whole.simulated) == ("arterial", ct.simulated)
    other = Provenance("nothing", 2, "c", "1" * 64)
    assert ct.of(other).simulated == made_by
    for wrong in (np.abs(array), np.where(array == array[3, 30, 30], 30000, array), np.minimum(array, -10)):
        write_volume(Volume(wrong.astype(np.int16), Geometry(SHAPE, np.eye(4))), path)
        with pytest.raises(NotCTError) as one:
            read_volume(path)
        with pytest.raises(NotCTError) as two:
            list(open_sliced(path).slices())
        assert str(one.value) == str(two.value)
        assert open_sliced(path).of(other).simulated == other
    bad = array.astype(np.float32)
    bad[4, 4, 4] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(bad), str(path))
    with pytest.raises(MeWMError, match="not numbers"):
        list(open_sliced(path).slices())
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(path))
    with pytest.raises(NotCTError, match="several channels"):
        open_sliced(path)
