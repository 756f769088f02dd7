"""What leaves this computer for a server, and nothing else: voxels and grid of the CT, labels, the job's settings.

Files of the user are never sent as they are. They are read here, as the worker would read them, and written again with
plain names and without any header of theirs; a DICOM folder becomes one NRRD file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MeWMLib.core import io
from MeWMLib.core.errors import BundleError, InputError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.wire import INPUT_FILES, OUTPUTS, SAMPLE_PREFIX, USED_UP, FileEntry, is_plain_name, sha256_of

#: Inputs that are sent; all others are paths or used up here.
_SENT = ("goal", "protocol", "segment")


@dataclass(frozen=True)
class Packed:
    """A job as it is sent.

    Attributes:
        job: without a path of this computer.
        files: entry and local path of each file, in the order of sending.
    """

    job: Job
    files: tuple[tuple[FileEntry, Path], ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(entry.bytes for entry, _path in self.files)


def pack(job: Job, folder: Path) -> Packed:
    """Read the files of a job and write them again into `folder`, ready to be sent.

    Args:
        job: as for the local runner, with paths.
        folder: empty; whoever calls removes it.

    Raises:
        MeWMError: a file cannot be used (see `core.io`), an unknown input, a bundle that is a folder.
    """
    inputs = job.inputs
    unknown = sorted(set(inputs) - {*INPUT_FILES, *USED_UP, *_SENT, "clinical"})
    if unknown:
        raise InputError(what="An input cannot be sent to a server", given=", ".join(unknown))
    if not inputs.get("case"):
        raise InputError(what="No case was given", remedy="Give a CT file, a DICOM folder or sample:NAME")
    if job.bundle is not None and not is_plain_name(job.bundle):
        raise BundleError(
            what="A server computes with its own models, not with a folder of this computer",
            given=Path(job.bundle).name,
            remedy="Name a model that the server has (Test connection in Setup lists them)",
        )
    sent: dict[str, Any] = {name: inputs[name] for name in _SENT if inputs.get(name) is not None}
    if inputs.get("clinical"):
        sent["clinical"] = Clinical.from_json(inputs["clinical"]).to_json()
    names = []
    for image, drawn, series in (("case", "labels", "series"), ("post", "post_labels", "post_series")):
        given = inputs.get(image)
        if not given:
            continue
        ct = _read(str(given), inputs.get(series), needed=bool(inputs.get(drawn)))
        if str(given).startswith(SAMPLE_PREFIX):
            sent[image] = given
        elif ct is not None:
            sent[image] = INPUT_FILES[image]
            names.append(INPUT_FILES[image])
            io.write_volume(Volume(ct.array, ct.geometry, ct.phase, ct.simulated), folder / INPUT_FILES[image])
        if inputs.get(drawn) and ct is not None:
            sent[drawn] = INPUT_FILES[drawn]
            names.append(INPUT_FILES[drawn])
            io.write_labels(_read_labels(str(inputs[drawn]), ct.geometry, inputs), folder / INPUT_FILES[drawn])
    files = tuple((_entry(folder / name), folder / name) for name in names)
    return Packed(replace(job, inputs=sent, out=output_name(job)), files)


def output_name(job: Job) -> str | None:
    """What a server calls the output of a job.

    Raises:
        InputError: a kind of file that is not written.
    """
    if job.out is None:
        return None
    known = OUTPUTS[job.kind]
    if job.kind != "segment":
        return known[0] if known else None
    name = Path(job.out).name.lower()
    for ending in (".seg.nrrd", ".nrrd", ".nii.gz", ".nii"):
        if name.endswith(ending):
            return f"labels{ending}"
    raise InputError(what="Labels are written as .seg.nrrd, .nrrd or .nii.gz", given=name)


def _read(given: str, series: str | None, needed: bool) -> Volume | None:
    """The CT of a path; that of a sample only if its grid is `needed`, since a server draws samples itself."""
    if not given.startswith(SAMPLE_PREFIX):
        return io.read_volume(Path(given), series=series)
    if not needed:
        return None
    from MeWMLib.cohorts.samples import load_sample

    return load_sample(given.removeprefix(SAMPLE_PREFIX)).ct


def _read_labels(path: str, grid: Geometry, inputs: dict[str, Any]) -> LabelMap:
    text = inputs.get("label_values")
    values = io.parse_label_values(text) if text else None
    return io.read_labels(Path(path), grid, resample=bool(inputs.get("resample_labels")), values=values)


def _entry(path: Path) -> FileEntry:
    return FileEntry(path.name, path.stat().st_size, sha256_of(path))
