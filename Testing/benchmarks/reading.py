"""Reading a CT by MeWM against SimpleITK's own readers on the same files, in one run: seconds and peak memory.

`python Testing/benchmarks/reading.py [--shape 300 512 512] [--repeats 5] [--json FILE] [--beside TREE]`; exit code 1 if
a limit is exceeded. TREE is the source tree of another version of MeWM (a git worktree), which reads the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

#: Most seconds relative to SimpleITK for uncompressed and compressed files, most memory relative to the voxels.
RAW_LIMIT, PACKED_LIMIT, MEMORY_LIMIT = 1.25, 1.5, 2.1
SPACING = (0.75, 0.75, 1.25)
#: Name of the file or folder to whether it is compressed.
CASES = {
    "series": False,
    "enhanced": False,
    "ct.nii": False,
    "ct.nii.gz": True,
    "raw.nrrd": False,
    "gzip.nrrd": True,
    "zlib.mha": True,
}


def main() -> None:
    """Write the files, time both readers in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512), metavar=("K", "J", "I"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--beside", type=Path, metavar="TREE", help="source tree of another version of MeWM")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)  # reader, path, repeats; prints seconds and peak
    args = parser.parse_args()
    if args.child:
        _child(*args.child)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, ct_like(tuple(args.shape)))
        nbytes = 2 * int(np.prod(args.shape))
        rows = [measure(folder / case, packed, args.repeats, nbytes, args.beside) for case, packed in CASES.items()]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(
        f"{' x '.join(map(str, args.shape))} int16, {nbytes / 2**20:.0f} MiB of voxels, {args.repeats} repeats, medians"
    )
    beside = f" {'beside: ratio':>14} {'memory':>7}" if args.beside else ""
    print(f"{'file':10} {'SimpleITK s':>12} {'MeWM s':>8} {'ratio':>6} {'limit':>6} {'memory':>7} {'limit':>6}{beside}")
    for row in rows:
        beside = f" {row['beside_ratio']:14.2f} {row['beside_memory']:7.2f}" if args.beside else ""
        print(
            f"{row['file']:10} {row['simpleitk_s']:12.3f} {row['mewm_s']:8.3f} {row['ratio']:6.2f} {row['limit']:6.2f} "
            f"{row['memory']:7.2f} {MEMORY_LIMIT:6.2f}{beside}{'' if row['within'] else '  EXCEEDED'}"
        )
    if not all(row["within"] for row in rows):
        raise SystemExit(1)


def ct_like(shape: tuple[int, ...]) -> np.ndarray:
    """A body with noise of 12 HU in air without noise, int16 (K, J, I)."""
    rng = np.random.default_rng(0)
    k, j, i = shape
    y, x = np.mgrid[-1 : 1 : j * 1j, -1 : 1 : i * 1j]
    plane = np.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 50, -1000)
    plane[(x + 0.3) ** 2 + y**2 < 0.06] = 110
    plane[x**2 + (y - 0.4) ** 2 < 0.01] = 400
    hu = np.empty(shape, np.int16)
    for n in range(k):
        hu[n] = np.where(plane > -1000, plane + rng.normal(0, 12, plane.shape), plane).astype(np.int16)
    return hu


def write_files(folder: Path, hu: np.ndarray) -> None:
    """Write one CT in every form."""
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING)
    for name, packed in CASES.items():
        if "." in name:
            sitk.WriteImage(image, str(folder / name), packed)
    del image
    _write_series(folder / "series", hu)
    _write_enhanced(folder / "enhanced", hu)


def _dataset(kind: str, hu: np.ndarray) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.Modality, data.PatientID, data.PatientName = "CT", "T", "T"
    data.Rows, data.Columns = hu.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = (hu.astype(np.int32) + 1024).astype(np.uint16).tobytes()
    return data


def _write_series(folder: Path, hu: np.ndarray) -> None:
    folder.mkdir()
    study, series, frame = (generate_uid() for _ in range(3))
    for n, one in enumerate(hu):
        data = _dataset(CTImageStorage, one)
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.SeriesNumber, data.AcquisitionNumber, data.InstanceNumber = 1, 1, n + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, n * SPACING[2]]
        data.RescaleIntercept, data.RescaleSlope = -1024, 1
        pydicom.dcmwrite(folder / f"{n:04d}.dcm", data, enforce_file_format=True)


def _write_enhanced(folder: Path, hu: np.ndarray) -> None:
    folder.mkdir()
    data = _dataset(EnhancedCTImageStorage, hu)
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    data.SeriesNumber, data.InstanceNumber, data.NumberOfFrames = 1, 1, len(hu)
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    measures, orientation, shared, value = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    value.RescaleIntercept, value.RescaleSlope, value.RescaleType = -1024, 1, "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [value]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for n in range(len(hu)):
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, n * SPACING[2]]
        content.StackID, content.InStackPositionNumber = "1", n + 1
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    pydicom.dcmwrite(folder / "0001.dcm", data, enforce_file_format=True)


def read_simpleitk(path: Path) -> Any:
    """What a script with SimpleITK would do."""
    if path.name == "series":
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        return reader.Execute()
    return sitk.ReadImage(str(path / "0001.dcm" if path.is_dir() else path))


def read_mewm(path: Path) -> Any:
    """The product's front door, with all its checks."""
    from MeWMLib.core import io

    return io.read_volume(path)


READERS: dict[str, Callable[[Path], Any]] = {"simpleitk": read_simpleitk, "mewm": read_mewm}


def measure(path: Path, packed: bool, repeats: int, nbytes: int, beside: Path | None = None) -> dict[str, Any]:
    """One row: the two readers take turns, after one unmeasured read of each."""
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    for n in range(repeats + 1):
        for name, read in READERS.items():
            start = time.perf_counter()
            read(path)
            if n:
                seconds[name].append(time.perf_counter() - start)
    found = {f"{name}_s": median(times) for name, times in seconds.items()}
    ratio, limit = found["mewm_s"] / found["simpleitk_s"], PACKED_LIMIT if packed else RAW_LIMIT
    memory = {name: _alone(name, path)[1] / nbytes for name in READERS}
    other = {}
    if beside is not None:
        took, peak = _alone("mewm", path, repeats, beside)
        other = {"beside_ratio": took / found["simpleitk_s"], "beside_memory": peak / nbytes}
    return {
        **other,
        "file": path.name,
        **found,
        "ratio": ratio,
        "limit": limit,
        "memory": memory["mewm"],
        "simpleitk_memory": memory["simpleitk"],
        "within": ratio <= limit and memory["mewm"] <= MEMORY_LIMIT,
    }


def _alone(reader: str, path: Path, repeats: int = 0, tree: Path | None = None) -> tuple[float, int]:
    """Median seconds of a reader in a child process, and the bytes by which its peak grows at the first read."""
    command = [sys.executable, __file__, "--child", reader, str(path), str(repeats)]
    environment = {**os.environ, **({"PYTHONPATH": str(tree.resolve())} if tree else {})}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, peak = done.stdout.split()
    return float(seconds), int(peak)


def _child(reader: str, path: str, repeats: str) -> None:
    small = Path(path).parent / "warm-up.mha"
    if not small.exists():
        image = sitk.GetImageFromArray(np.linspace(-1000, 1000, 512).astype(np.int16).reshape(8, 8, 8))
        sitk.WriteImage(image, str(small))
    READERS[reader](small)  # what is imported on the way is no memory of the image
    before = _peak_bytes()
    image = READERS[reader](Path(path))
    peak = _peak_bytes() - before
    del image
    seconds = [0.0]
    for n in range(int(repeats)):
        start = time.perf_counter()
        READERS[reader](Path(path))
        seconds[n:] = [time.perf_counter() - start]
    print(median(seconds), peak)


def _peak_bytes() -> int:
    """Largest memory of this process so far; on Linux not that of its parent, which `getrusage` would count."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
