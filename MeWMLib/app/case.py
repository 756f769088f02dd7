"""One patient in the app: a folder with what was sent, the CT as it was read, the outline, the form, and the runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core import io
from MeWMLib.core.errors import InputError, LabelError, OutdatedError
from MeWMLib.core.private_files import private
from MeWMLib.core.records import dump_json, from_plain, read_json
from MeWMLib.core.volume import LIVER, TUMOUR, Geometry, LabelMap, Volume

RECORD, CT, CT_RAW, LABELS_RAW, SENT, RUNS = "case.json", "ct.nrrd", "ct.raw", "labels.raw", "sent", "runs"
#: States of a case: files are on their way, several series to choose from, it can be looked at.
SENDING, CHOOSING, OPEN = "sending", "choosing", "open"
#: Ranges of voxels as the page tells them: k0, k1, j0, j1, i0, i1.
Box = Sequence[int]


@dataclass(frozen=True)
class Sent:
    """A file that was announced: its name at the user's, for people alone, and how many bytes it has."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Grid:
    """The grid of a CT: sizes (K, J, I), affine from (i, j, k) to RAS mm by rows, and type of the raw voxels."""

    shape: tuple[int, ...]
    affine: tuple[float, ...]
    dtype: str

    @property
    def geometry(self) -> Geometry:
        """The same as a `Geometry`."""
        k, j, i = self.shape
        return Geometry((k, j, i), np.reshape(self.affine, (4, 4)))


@dataclass(frozen=True)
class Outline:
    """Whose the labels are ("expert", "assistant", "file" or "you"), and their volumes in ml."""

    edition: int
    source: str
    liver_ml: float
    tumour_ml: float
    #: RAS mm of a voxel of the largest part of the tumour; where a viewer begins.
    target: tuple[float, ...] | None = None
    note: str = ""


@dataclass(frozen=True)
class Run:
    """One job of the case: its id at the server, its kind, what it is called, and how it has ended."""

    id: str
    kind: str
    title: str
    created: float
    final: dict[str, Any] | None = None
    #: Edition of the outline that it was started with.
    outline: int = 0
    #: What it was asked with beside the images (`app.changed`).
    asked: dict[str, Any] | None = None


@dataclass(frozen=True)
class Record:
    """What is written down of a case.

    Attributes:
        sample: name of a sample; "" for the user's own files.
        files: what was announced.
        series: of several, the one that was chosen.
        choices: series to choose from, as the page shows them.
        form: what the user has filled in, word for word as the page sent it.
        after_of: the case that this is the CT after treatment of; "" for a patient.
    """

    id: str
    name: str
    created: float
    state: str = SENDING
    sample: str = ""
    phase: str = "unknown"
    files: tuple[Sent, ...] = ()
    series: str = ""
    choices: tuple[dict[str, Any], ...] = ()
    grid: Grid | None = None
    outline: Outline | None = None
    form: dict[str, Any] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    after_of: str = ""


class Case:
    """A case and its folder; every change is written down at once. Its methods may be called from any thread.

    Args:
        folder: of the case.
        record: as it is now.
    """

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder, self._record = folder, record
        self.lock = threading.RLock()
        #: Held while the files are read: that takes seconds, in which the rest can be asked for.
        self.reading = threading.Lock()

    @classmethod
    def load(cls, folder: Path) -> Case:
        """A case of a folder that was kept.

        Raises:
            MeWMError: its record cannot be read.
        """
        data = read_json(folder / RECORD, "The record of a case", require={"id": str})
        return cls(folder, from_plain(Record, data, "the record of a case"))

    @property
    def record(self) -> Record:
        """What is known now."""
        return self._record

    def change(self, **news: Any) -> Record:
        """Note something."""
        with self.lock:
            self._record = replace(self._record, **news)
            fresh = self.folder / f"{RECORD}.new"
            with private(fresh, "w") as stream:
                stream.write(dump_json(self._record))
            fresh.replace(self.folder / RECORD)
            return self._record

    @property
    def sent(self) -> Path:
        """The folder of what was sent."""
        return self.folder / SENT

    def sent_file(self, number: int) -> Path:
        """Where a file that was announced goes. Its name here is a number, with the ending that readers go by."""
        files = self.record.files
        if not 0 <= number < len(files):
            raise InputError(what="The case has no such file", given=str(number)[:20])
        return self.sent / f"{number:05d}{ending_of(files[number].name)}"

    @property
    def grid(self) -> Grid:
        """The grid of the CT.

        Raises:
            InputError: no CT is open.
        """
        if self.record.grid is None:
            raise InputError(what="No CT is open in this case", remedy="Open a CT first")
        return self.record.grid

    def open(self, ct: Volume, **news: Any) -> Record:
        """Keep the CT: as NRRD for jobs, and its bare voxels for the page."""
        dtype = "i2" if _is_whole(ct.array) else "f4"
        with private(self.folder / CT_RAW, "wb") as stream:
            for plane in ct.array:
                stream.write(np.ascontiguousarray(plane, dtype=f"<{dtype}").data)
        io.write_volume(ct, self.folder / CT)
        (self.folder / CT).chmod(0o600)
        affine = tuple(float(v) for v in ct.geometry.affine.ravel())
        return self.change(state=OPEN, phase=ct.phase, grid=Grid(ct.geometry.shape, affine, dtype), **news)

    # the outline

    def labels(self) -> LabelMap:
        """The labels now.

        Raises:
            InputError: there are none.
        """
        if self.record.outline is None:
            raise InputError(
                what="There is no outline of liver and tumour", remedy="Find liver and tumour first, or give your own"
            )
        grid = self.grid
        return LabelMap(np.fromfile(self.folder / LABELS_RAW, np.uint8).reshape(grid.shape), grid.geometry)

    def set_labels(self, labels: LabelMap, source: str, note: str = "") -> Record:
        """Put labels into the place of those that are there."""
        with self.lock:
            return self._kept(labels.array.astype(np.uint8), source, note)

    def paint(self, box: Box, values: bytes, edition: int) -> Record:
        """Write a box of the labels anew, as a brush has changed it.

        Args:
            box: in the grid.
            values: its labels, one byte each, (k, j, i).
            edition: of the labels that the brush began with.

        Raises:
            OutdatedError: the outline was changed elsewhere meanwhile.
            LabelError: other values than 0, 1 and 2, or not as many as the box holds.
        """
        with self.lock:
            whole = self.labels().array
            k0, k1, j0, j1, i0, i1 = box
            sizes = k1 - k0, j1 - j0, i1 - i0
            inside = all(0 <= a < b <= n for a, b, n in zip((k0, j0, i0), (k1, j1, i1), whole.shape, strict=True))
            if not inside or len(values) != sizes[0] * sizes[1] * sizes[2]:
                raise LabelError(what="The painted box does not fit the CT", given=f"{list(box)}, {len(values)} bytes")
            found = np.frombuffer(values, np.uint8)
            if found.size and found.max() > TUMOUR:
                raise LabelError(what="A label is 0, 1 (liver) or 2 (tumour)", given=str(int(found.max())))
            outline = self.record.outline
            assert outline is not None  # asked by `labels`
            if edition != outline.edition:
                raise OutdatedError(
                    what="The outline was changed elsewhere meanwhile, such as in another tab",
                    remedy="Look at it as it is now, and paint again",
                )
            whole[k0:k1, j0:j1, i0:i1] = found.reshape(sizes)
            return self._kept(whole, "you", outline.note)

    def _kept(self, array: NDArray[np.uint8], source: str, note: str) -> Record:
        former, grid = self.record.outline, self.grid
        with private(self.folder / f"{LABELS_RAW}.new", "wb") as stream:
            stream.write(np.ascontiguousarray(array).data)
        (self.folder / f"{LABELS_RAW}.new").replace(self.folder / LABELS_RAW)
        counts, ml = np.bincount(array.ravel(), minlength=3), grid.geometry.voxel_ml
        outline = Outline(
            former.edition + 1 if former else 1,
            source,
            round(float(counts[LIVER] + counts[TUMOUR]) * ml, 1),
            round(float(counts[TUMOUR]) * ml, 1),
            _target(array, grid.geometry),
            note,
        )
        return self.change(outline=outline)

    def add_run(self, run: Run) -> Record:
        """Note a job that was started."""
        with self.lock:
            return self.change(runs=(*self.record.runs, run))

    def end_run(self, run_id: str, final: dict[str, Any]) -> Record:
        """Note how a job has ended."""
        with self.lock:
            return self.change(
                runs=tuple(replace(one, final=final) if one.id == run_id else one for one in self.record.runs)
            )

    def run(self, run_id: str) -> Run:
        """A job of this case.

        Raises:
            InputError: there is none with this id.
        """
        for one in self.record.runs:
            if one.id == run_id:
                return one
        raise InputError(what="The case has no such result", given=repr(run_id)[:80])

    def run_folder(self, run_id: str) -> Path:
        """Where the results of a job of this case go."""
        return self.folder / RUNS / self.run(run_id).id

    def to_plain(self) -> dict[str, Any]:
        """What the page is told."""
        record = self.record
        grid = record.grid
        spacing = list(grid.geometry.spacing) if grid is not None else None
        # thousands of names of files are of no use to a page
        return {**vars(replace(record, files=())), "spacing_mm": spacing}


def ending_of(name: str) -> str:
    """The ending by which readers know an image file, of a name that is never used as a path; "" for any other."""
    endings = sorted(io.IMAGE_SUFFIXES, key=len, reverse=True)
    return next((one for one in endings if name.lower().endswith(one)), "")


def new_record(case_id: str, name: str, **more: Any) -> Record:
    """The record of a new case."""
    return Record(case_id, name, time.time(), **more)


def _is_whole(array: NDArray[Any]) -> bool:
    """True if every voxel is a whole number that 16 bits hold."""
    limits = np.iinfo(np.int16)
    for plane in array:
        if plane.min() < limits.min or plane.max() > limits.max:
            return False
        if plane.dtype.kind == "f" and (plane != np.rint(plane)).any():
            return False
    return True


def _target(array: NDArray[np.uint8], geometry: Geometry) -> tuple[float, ...] | None:
    """The deepest voxel of the largest part of the tumour in the axial slice with most of it; RAS mm."""
    areas = (array == TUMOUR).sum(axis=(1, 2))
    if not areas.any():
        return None
    k = int(np.argmax(areas))
    parts, count = ndimage.label(array[k] == TUMOUR)
    largest = 1 + int(np.argmax(np.bincount(parts.ravel(), minlength=count + 1)[1:]))
    depth = ndimage.distance_transform_edt(np.pad(parts == largest, 1))[1:-1, 1:-1]
    j, i = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return tuple(float(v) for v in geometry.to_ras((k, j, i)))
