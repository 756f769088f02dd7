"""Jobs of a case: started in the server's own queue, their results fetched into the case and told to the page."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.app.case import CT, Case, Run
from MeWMLib.app.cases import Cases
from MeWMLib.app.changed import changed_since, of_form
from MeWMLib.app.ranking import ranking
from MeWMLib.core import io
from MeWMLib.core.errors import InputError, MeWMError, UnreadableFileError
from MeWMLib.core.plan_folder import PLAN, PlanFolder, read_document
from MeWMLib.core.private_files import private
from MeWMLib.core.records import parse_json
from MeWMLib.core.sealed import write_sealed
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.server_jobs import ServerJobs
from MeWMLib.jobs.store import ENDED, Row
from MeWMLib.jobs.table import SAMPLE_PREFIX, kind_of
from MeWMLib.jobs.wire import FileEntry

#: Answers that a user may give in advance, by the input of the job that holds them.
_CONSENTS = ("accept_labels", "accept_goal", "allow_forbidden", "accept_registration")
#: What jobs of each kind write.
_OUT = {"segment": "labels.nrrd", "assess": "assess.json", "simulate": "plan", "plan": "plan"}
#: What is shown of an outcome.
_VOLUMES = ("ct", "labels", "sd")
_TITLES = {"segment": "Liver and tumour", "plan": "Best protocols", "assess": "CT after treatment"}


class Runs:
    """Starts jobs of cases, and fetches what they have written.

    Args:
        jobs: of the server.
        cases: of the app.
        owner: the user whose jobs they are.
        bundle: name of the model bundle; None is the default one.
    """

    def __init__(self, jobs: ServerJobs, cases: Cases, owner: str, bundle: str | None = None) -> None:
        self._jobs, self._cases, self._owner, self._bundle = jobs, cases, owner, bundle
        self._fetching = threading.Lock()

    def start(self, case: Case, kind: str, asked: Mapping[str, Any]) -> Run:
        """Start a job of a case.

        Args:
            kind: "segment", "simulate", "plan" or "assess".
            asked: "accept" (names of consents), "settings" (of the job), "protocol" for a simulation.

        Raises:
            InputError: the case lacks what the job needs.
            MeWMError: the server does not take it.
        """
        if kind not in _OUT:
            raise InputError(what="The app starts no jobs of this kind", given=repr(kind)[:40])
        title = _TITLES.get(kind, "")
        with case.lock, tempfile.TemporaryDirectory(dir=case.folder, prefix="send-") as made:
            form = dict(case.record.form)
            if kind == "simulate":
                form["protocol"] = title = str(asked.get("protocol") or "").strip()
                if not title:
                    raise InputError(what="No protocol was given", remedy="Choose a kind of treatment first")
            inputs, files = self._inputs(case, kind, Path(made))
            inputs |= (of_the_form := of_form(kind, form))
            accepted = [name for name in _CONSENTS if name in (asked.get("accept") or ())]
            inputs |= {name: True for name in accepted if any(e.name == name for e in kind_of(kind).inputs)}
            settings = dict(asked.get("settings") or {})
            job = Job(kind, inputs, _OUT[kind], settings=settings, bundle=self._bundle)
            kind_of(kind).check(job.inputs, job.out)
            row = self._submitted(job, files)
            outline = case.record.outline
            noted = {**of_the_form, **({"post": self._post(case)} if kind == "assess" else {})}
            edition = outline.edition if outline else 0
            run = Run(row.id, kind, title, time.time(), outline=edition, asked=noted)
            case.add_run(run)
        return run

    def _inputs(self, case: Case, kind: str, made: Path) -> tuple[dict[str, Any], dict[str, Path]]:
        """The images of a job, and the files that they name."""
        record, files = case.record, {}
        inputs: dict[str, Any] = {"case": f"{SAMPLE_PREFIX}{record.sample}" if record.sample else CT}
        if not record.sample:
            files[CT] = case.folder / CT
        if kind == "segment":
            return inputs, files
        labels, outline = case.labels(), record.outline
        assert outline is not None  # asked by `labels`
        if not record.sample or outline.source != "expert":
            io.write_labels(labels, made / "labels.nrrd")
            inputs["labels"], files["labels.nrrd"] = "labels.nrrd", made / "labels.nrrd"
        if kind == "assess":
            after = self._cases.after(case)
            if after is not None and after.record.grid is not None:
                inputs["post"], files["post.nrrd"] = "post.nrrd", after.folder / CT
            elif self._cases.treated_sample(case):
                inputs["post"] = inputs["case"]
            else:
                raise InputError(what="No CT after treatment is open", remedy="Drop one in the step After treatment")
        return inputs, files

    def _submitted(self, job: Job, files: Mapping[str, Path]) -> Row:
        """A job in the queue, with copies of its files as if they had been sent."""
        entries = []
        for name, path in files.items():
            with path.open("rb") as stream:
                entries.append(FileEntry.read(name, stream))
        row = self._jobs.create(self._owner, job, entries)
        try:
            folder = self._jobs.folder(row)
            for name, path in files.items():
                with path.open("rb") as source, private(folder.part(name), "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            return self._jobs.submit(row)
        except BaseException:
            self._jobs.remove(row)
            raise

    def forget(self, run_id: str) -> None:
        """End a job, and remove what the server has of it."""
        row = self._row(run_id)
        if row is not None:
            self._jobs.remove(row)

    def result(self, case: Case, run_id: str) -> dict[str, Any]:
        """Where a job of a case stands; of one that has ended, what came of it.

        Raises:
            InputError: the case has no such job.
        """
        run = case.run(run_id)
        told: dict[str, Any] = {"id": run.id, "kind": run.kind, "title": run.title, "state": "ended", "plan": None}
        if run.final is None:
            row = self._row(run_id)
            if row is not None and row.state not in ENDED:
                return {**told, "state": row.state, "plan": self._plan_so_far(row, run.kind)}
            with self._fetching:
                run = case.run(run_id)
                if run.final is None:
                    self._fetch(case, run, row)
                    run = case.run(run_id)
        folder = case.run_folder(run_id)
        if run.kind in ("plan", "simulate") and (folder / PLAN).is_file():
            told["plan"] = ranking(read_document(folder / PLAN))
        return {**told, "final": run.final}

    def changed(self, case: Case) -> dict[str, list[str]]:
        """What has changed since each job of a case was started, in words, by the id of the job."""
        post = self._post(case)
        return {run.id: changed_since(case.record, run, post) for run in case.record.runs}

    def _post(self, case: Case) -> str:
        """The CT after treatment as it is now; "" for none, and for the one that a sample has of its own."""
        after = self._cases.after(case)
        return after.record.id if after is not None and after.record.grid is not None else ""

    def _row(self, run_id: str) -> Row | None:
        with contextlib.suppress(MeWMError):
            return self._jobs.get(run_id, self._owner)
        return None

    def _plan_so_far(self, row: Row, kind: str) -> dict[str, Any] | None:
        """The ranking as it is now: plan.json is whole after every step of a search."""
        if kind != "plan":
            return None
        with contextlib.suppress(MeWMError, OSError), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / PLAN
            with self._jobs.open_file(row, PLAN) as stream:
                path.write_bytes(stream.read())
            return ranking(read_document(path))
        return None

    def _fetch(self, case: Case, run: Run, row: Row | None) -> None:
        """Bring what a job has written into the case, and note its end."""
        if row is None:
            gone = InputError(what="The job is gone", remedy="Start it again").to_json()
            case.end_run(run.id, {"kind": "error", "data": dict(gone)})
            return
        final = self._jobs.folder(row).final()
        said = {"kind": "error", "data": dict(InputError(what="The job ended without a word").to_json())}
        if final is not None:
            said = {"kind": final.kind, "data": parse_json(final.to_json())["data"]}
        folder = case.run_folder(run.id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in self._jobs.files(row):
            with self._jobs.open_file(row, entry.name) as source, private(folder / entry.name, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        if (folder / PLAN).is_file():
            _name_case(folder / PLAN, case)
        if run.kind == "segment" and said["kind"] == "result":
            labels = io.read_labels(folder / _OUT["segment"], case.grid.geometry, tumour_alone=True)
            outline = case.record.outline
            # what was painted while the job was at work is not overwritten without a word
            if outline is None or outline.edition == run.outline:
                case.set_labels(labels, "assistant")
        case.end_run(run.id, said)

    # what the page shows of an outcome

    def volume(self, case: Case, run_id: str, rank: int, what: str) -> Path:
        """The bare voxels of an outcome: "ct", "labels" or "sd", in the type that `shown` says.

        Raises:
            InputError: there is no such volume.
        """
        folder = case.run_folder(run_id)
        if what not in _VOLUMES:
            raise InputError(what="There is no such volume", given=repr(what)[:40], remedy=f"Use {', '.join(_VOLUMES)}")
        # beside the results, of which every file is one of the plan's
        raw = case.folder / "shown" / run_id / f"{rank}-{what}.raw"
        with case.reading:
            if not raw.is_file():
                _write_raw(PlanFolder(folder), case, rank, what, raw)
        return raw


def _name_case(path: Path, case: Case) -> None:
    """Give a plan the name that the case has here; the worker knew it as ct.nrrd."""
    document = read_document(path)
    if document.case == CT:
        write_sealed({**document.to_json(), "case": case.record.name}, path)


def _write_raw(folder: PlanFolder, case: Case, rank: int, what: str, raw: Path) -> None:
    document = folder.read(verify="none")
    found = [one for one in document.plan.candidates if one.rank == rank and one.files]
    if not found:
        raise InputError(what="There is no such volume", given=f"rank {rank}, {what}"[:80])
    geometry = case.grid.geometry
    array: NDArray[Any]
    if what == "ct":
        array = folder.read_ct(document, found[0]).array.astype(f"<{case.grid.dtype}")
    elif what == "labels":
        array = folder.read_labels(document, found[0]).array.astype(np.uint8)
    else:
        deviation = folder.read_deviation(found[0])
        if deviation is None:
            raise InputError(what="One simulation has no deviation", given=f"rank {rank}")
        array = np.stack(list(deviation[1])).astype("<f4")
    if array.shape != geometry.shape:
        raise UnreadableFileError(what="The outcome is not on the grid of the CT", given=str(array.shape))
    raw.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    with private(raw.with_suffix(".new"), "wb") as stream:
        stream.write(np.ascontiguousarray(array).data)
    raw.with_suffix(".new").replace(raw)
