"""What the evaluations share: settings from arguments, progress, worker processes, files of a case, boxes of masks."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.io import parse_label_values, read_labels, read_volume
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.jobs.processes import worker_pool

T = TypeVar("T")
#: Called with the stage, how much of it is done, and of how much (1 if left out, 0 if that is not known).
Say = Callable[..., None]


def silent(stage: str, done: float, total: float = 1.0) -> None:
    """Show no progress."""


def settings_from(cls: type[T], args: argparse.Namespace, **others: Any) -> T:
    """A dataclass of settings from the arguments that are called like its fields, and others."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    given = {n: tuple(v) if isinstance(v, list) else v for n, v in vars(args).items() if n in known}
    return cls(**given | others)


def each_patient(
    begin: Callable[[Any], Callable[[Any], T]],
    settings: Hashable,
    patients: Sequence[Any],
    workers: int = 1,
    stage: str = "patients",
    say: Say = silent,
) -> list[T]:
    """Do the same for every patient, in processes of their own if that is asked for; results in the order given.

    Args:
        begin: from the settings to what is done for one patient (loads the networks); a class or function of a module,
            since every process calls it.
        settings: for `begin`.
        patients: what is passed for each.
        workers: processes.
        stage, say: progress.
    """
    found: list[T] = []
    with ExitStack() as stack:
        if workers > 1:
            pool = worker_pool(workers, torch.set_num_threads, 1)
            jobs = [(begin, settings, patient) for patient in patients]
            results: Iterator[T] = stack.enter_context(pool).map(_in_worker, jobs)
        else:
            results = map(begin(settings), patients)
        for one in results:
            found.append(one)
            say(stage, len(found) / len(patients))
    return found


@lru_cache(maxsize=1)
def _begun(begin: Callable[[Any], Callable[[Any], Any]], settings: Hashable) -> Callable[[Any], Any]:
    return begin(settings)


def _in_worker(job: tuple[Callable[[Any], Callable[[Any], Any]], Hashable, Any]) -> Any:
    begin, settings, patient = job
    return _begun(begin, settings)(patient)


def read_case(ct: str | Path, labels: str | Path, label_values: str) -> tuple[Volume, LabelMap]:
    """A CT and its labels, brought to the grid of the CT.

    Raises:
        MeWMError: a file that cannot be read, or values without a meaning.
    """
    volume = read_volume(Path(ct))
    return volume, read_labels(Path(labels), volume.geometry, resample=True, values=parse_label_values(label_values))


def case_name(path: str | Path) -> str:
    """Name of a file without the endings of NIfTI."""
    return Path(path).name.removesuffix(".gz").removesuffix(".nii")


def box_of(mask: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """The box around a mask with a margin in voxels; the whole array if the mask is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return tuple(slice(0, n) for n in mask.shape)
    return tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(found[0], mask.shape, strict=True)
    )
