"""What a simulated outcome shows as images: its CT as a series, and the slices of its deviations.

Both are unpacked from the plan and written slice by slice by threads of their own, while the outcome before is measured
and its segments are drawn: most of the time of an export is the unpacking.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_folder import PlanDocument, PlanFolder
from MeWMLib.core.volume import Geometry, Volume, require_same_geometry
from MeWMLib.exchange.ct_series import Series, Sums, as_int16, write_simulated
from MeWMLib.exchange.deviation import Deviation
from MeWMLib.exchange.mark import HiddenError, Mark, clear_of, mark_for, occupied_by
from MeWMLib.exchange.measurements import Part
from MeWMLib.exchange.study import Study


@dataclass(frozen=True, eq=False)
class OutcomeCT:
    """A simulated CT that was written.

    Attributes:
        series: as it was written.
        sums: SHA-256 of each file by its name.
        near: the part of it that is measured.
        mark: that was burned in; None where none was.
    """

    series: Series
    sums: Sums
    near: Volume
    mark: Mark | None


@dataclass(frozen=True)
class OutcomeJob:
    """An outcome whose images are being written.

    Attributes:
        candidate: whose they are.
        name: begins the names of its files.
        number: SeriesNumber of the CT; what is drawn on it gets those behind.
        title: follows "SIMULATED" in descriptions.
    """

    candidate: Candidate
    name: str
    number: int
    title: str


class OutcomeImages:
    """Writes the images of outcomes, of which one is ahead of what is asked for, from `go_on` on.

    Args:
        folder, document: the plan.
        study: what they belong to.
        geometry: the grid of the plan.
        part: of the grid of the study, that is measured.
        mark: burned in where it hides nothing; None for none.
        stage: folder of the files.
        jobs: the first is begun at once.
    """

    def __init__(
        self,
        folder: PlanFolder,
        document: PlanDocument,
        study: Study,
        geometry: Geometry,
        part: Part,
        mark: Mark | None,
        stage: Path,
        jobs: Sequence[OutcomeJob],
    ) -> None:
        self._folder, self._document, self._study, self._geometry = folder, document, study, geometry
        self._part, self._mark, self._stage = part, mark, stage
        self._pool = ThreadPoolExecutor(2)
        self._left = deque(jobs)
        self._running: deque[tuple[OutcomeJob, Future[OutcomeCT], Future[Deviation | None]]] = deque()
        self.go_on()

    def __enter__(self) -> OutcomeImages:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[OutcomeJob, OutcomeCT, Deviation | None]]:
        """The jobs in their order, each as soon as its images are written."""
        while self._running:
            yield self._next()

    def _next(self) -> tuple[OutcomeJob, OutcomeCT, Deviation | None]:
        job, ct, deviation = self._running.popleft()
        return job, ct.result(), deviation.result()

    def go_on(self) -> None:
        """Begin the next: as soon as what needs much memory of the one before is done."""
        if self._left:
            job = self._left.popleft()
            submit = self._pool.submit
            self._running.append((job, submit(self._ct, job), submit(self._deviation, job)))

    def _ct(self, job: OutcomeJob) -> OutcomeCT:
        study, part = self._study, self._part
        ct = self._folder.open_ct(self._document, job.candidate)
        require_same_geometry(self._geometry, ct.geometry, "The simulated CT is not on the grid of the CT")
        assert ct.simulated is not None  # `open_ct` sees to it
        what = f"the simulated CT of {job.candidate.protocol.text}"
        near = np.empty(tuple(one.stop - one.start for one in part), np.int16)
        (first, last), rows, columns = (part[0].start, part[0].stop), *part[1:]

        def planes() -> Iterator[tuple[int, NDArray[np.int16]]]:
            for n, plane in study.planes_on_grid(ct.slices(), ct.geometry):
                whole = as_int16(plane, what)
                if first <= n < last:
                    near[n - first] = whole[rows, columns]
                yield n, whole

        path, mark = self._stage / f"{job.name}_ct", self._mark
        try:
            series, sums = write_simulated(
                path, study, clear_of(mark, planes()), job.number, job.title, ct.simulated, mark
            )
        except HiddenError:  # what is air in the scan is none here
            shutil.rmtree(path)
            mark = mark_for(occupied_by(plane for _, plane in planes()))
            series, sums = write_simulated(path, study, planes(), job.number, job.title, ct.simulated, mark)
        grid = study.geometry.crop((first, rows.start, columns.start), (near.shape[0], near.shape[1], near.shape[2]))
        return OutcomeCT(series, sums, Volume(near, grid, ct.phase), mark)

    def _deviation(self, job: OutcomeJob) -> Deviation | None:
        found = self._folder.read_deviation(job.candidate)
        if found is None:
            return None
        grid, planes = found
        require_same_geometry(self._geometry, grid, "The deviation map is not on the grid of the CT")
        return Deviation(self._stage / f".{job.name}_sd", self._study.planes_on_grid(planes, grid))
