"""Where the results of a job on a server go on this computer, under the names that the user's files have here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MeWMLib.core import io
from MeWMLib.core.errors import InputError, ServerError, UnreadableFileError
from MeWMLib.core.plan_folder import PlanDocument, PlanFolder
from MeWMLib.core.records import read_json
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.remote_files import output_name
from MeWMLib.jobs.wire import INPUT_FILES, SAMPLE_PREFIX

_FOLDER_KINDS = ("plan", "simulate")


class Target:
    """The folder or file of one job.

    Raises:
        InputError: no folder was given, or a kind of file that is not written.
        OutputError: a file or folder is in the way.
    """

    def __init__(self, job: Job) -> None:
        self.folder: PlanFolder | None = None
        self.file: Path | None = None
        self.name = output_name(job)
        case, labels = str(job.inputs.get("case") or ""), job.inputs.get("labels")
        self._case = "" if case.startswith(SAMPLE_PREFIX) else Path(case).name
        self._labels = Path(labels).name if labels else ""
        if job.kind in _FOLDER_KINDS:
            if not job.out:
                raise InputError(what="No output folder was given", remedy="Give one with --out")
            self.folder = PlanFolder(job.out).require_writable()
        elif job.out and self.name:
            self.file = Path(job.out)

    @property
    def wants_files(self) -> bool:
        """True if the job writes something that somebody wants."""
        return self.folder is not None or self.file is not None

    def leave(self) -> None:
        """Remove the folders that were made, if nothing came to lie in them."""
        if self.folder is not None:
            self.folder.leave()

    def named(self, data: dict[str, Any]) -> dict[str, Any]:
        """The result's data with the names that the files have here."""
        given = {"case": self._case, "file": self.file.name if self.file is not None else None}
        renamed = {key: name for key, name in given.items() if name and key in data}
        return {**data, **renamed, **self._labels_of(data)}

    def give_names_back(self, plan: Path) -> None:
        """Write the names that the user's files have here into plan.json; the server never learnt them.

        Raises:
            ServerError: it is not a plan.
        """
        try:
            data = PlanDocument.from_json(read_json(plan)).to_json()
        except UnreadableFileError as error:
            raise ServerError(what="The server sent a plan that cannot be read", given=error.given[:120]) from error
        io.write_json({**data, "case": self._case or data["case"], **self._labels_of(data)}, plan)

    def _labels_of(self, data: dict[str, Any]) -> dict[str, Any]:
        labels = data.get("labels")
        if not self._labels or not isinstance(labels, dict) or not isinstance(labels.get("note"), str):
            return {}
        return {"labels": {**labels, "note": labels["note"].replace(INPUT_FILES["labels"], self._labels)}}
