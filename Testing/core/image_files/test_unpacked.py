"""Volumes that are written without packing them, for another process of this computer."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import OutputError, UnreadableFileError
from MeWMLib.core.volume import Geometry, Volume


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_volume_that_is_not_packed_is_whole_and_sealed_too(tmp_path, monkeypatch, dtype):
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    values = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(dtype)
    volume = Volume(values, Geometry(values.shape, affine), "arterial")
    plain, packed = tmp_path / "plain.nrrd", tmp_path / "packed.nrrd"
    io.write_volume(volume, plain, packed=False)
    io.write_volume(volume, packed)
    assert volume.array.tobytes() in plain.read_bytes() and volume.array.tobytes() not in packed.read_bytes()
    read, other = io.read_volume(plain), io.read_volume(packed)
    assert np.array_equal(read.array, volume.array) and read.array.dtype == dtype and read.phase == other.phase
    assert np.array_equal(read.geometry.affine, other.geometry.affine)
    content = bytearray(plain.read_bytes())
    content[-3] ^= 1
    plain.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="checksum"):
        io.read_volume(plain)

    write = io.sitk.WriteImage

    def other_bytes(image, name, **options):
        write(image + 1, name, **options)

    monkeypatch.setattr(io.sitk, "WriteImage", other_bytes)
    with pytest.raises(OutputError):
        io.write_volume(volume, tmp_path / "wrong.nrrd", packed=False)
    assert not (tmp_path / "wrong.nrrd").exists()
