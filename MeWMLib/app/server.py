"""The app's server: the job server of `mewm serve` for one user, with the page and what the page asks for.

| request | what |
|---|---|
| `GET /`, `GET /static/NAME` | the page; it holds nothing of anybody and needs no token |
| `GET /app/start` | words of the page: samples, templates, clinical fields, windows, kinds of jobs |
| `GET /app/cases`, `POST /app/cases`, `DELETE /app/cases/ID` | the cases; a new one of a sample or of files |
| `PUT /app/cases/ID/files/N`, `POST /app/cases/ID/read` | a file; all are there: read them, maybe one series of them |
| `GET /app/cases/ID` | everything about a case: grid, outline, form, jobs |
| `GET /app/cases/ID/voxels`, `GET /app/cases/ID/outline` | bare voxels of CT and labels |
| `PATCH /app/cases/ID/outline`, `PUT /app/cases/ID/outline` | a painted box; a file with labels |
| `PUT /app/cases/ID/form` | clinical data, goal, protocol; answers how they are read, and which results they change |
| `POST /app/cases/ID/runs`, `GET /app/cases/ID/runs/RUN` | start a job; where it stands, ranking, result |
| `GET /app/cases/ID/runs/RUN/volumes/RANK/WHAT`, `.../picture` | voxels of an outcome; the picture of an assessment |
| `POST /app/cases/ID/runs/RUN/exports`, `/app/exports/ID` | make something to take home; state, cancel, the file |

Jobs are followed, and stopped, by the job server's own requests.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from MeWMLib.app.advice import advise
from MeWMLib.app.case import CT_RAW, Case, Sent, ending_of
from MeWMLib.app.cases import Cases
from MeWMLib.app.exports import Exports
from MeWMLib.app.guard import Guard
from MeWMLib.app.page import start_words, static_file
from MeWMLib.app.runs import Runs
from MeWMLib.core.errors import InputError, output_error
from MeWMLib.core.private_files import private
from MeWMLib.core.records import from_plain, parse_json
from MeWMLib.jobs import server
from MeWMLib.jobs.server_guard import BodyReader
from MeWMLib.jobs.server_state import State
from MeWMLib.jobs.server_users import OPERATOR

_JSON_BYTES, _OUTLINE_BYTES = 4 * 1024**2, 2 * 1024**3
_BLOCK = 1 << 20
#: What of a form is kept.
_FORM = ("clinical", "goal", "protocol", "target", "territory")


@dataclass(frozen=True)
class AppSettings:
    """How an app is started.

    Attributes:
        folder: for its cases.
        kept: the user keeps the folder.
        bundle: name of the model bundle; None is the default one.
        scene: what makes a report, for tests.
    """

    folder: Path
    kept: bool = False
    bundle: str | None = None
    scene: Sequence[str] | None = None


def make_app(state: State, settings: AppSettings) -> FastAPI:
    """The job server's application with the app's page and requests."""
    app = server.make_app(state)
    limits, owner = state.jobs.limits, app.state.owner
    cases = Cases(settings.folder / "cases", limits.max_upload_bytes)
    runs, exports = Runs(state.jobs, cases, OPERATOR, settings.bundle), Exports(settings.scene)
    app.state.cases, app.state.runs, app.state.exports = cases, runs, exports
    app.add_middleware(Guard)
    mine: dict[str, Any] = {"dependencies": [owner]}

    def told(case: Case) -> dict[str, Any]:
        """A case as the page is told it, with what has changed since each of its results was computed."""
        return {**case.to_plain(), "changed": runs.changed(case)}

    @app.exception_handler(OSError)
    async def answer_disk(request: Request, error: OSError) -> JSONResponse:
        told = output_error(error, Path("the folder of the app"))
        return JSONResponse({"error": state.without_paths(told.to_json())}, 507)

    async def body_of(request: Request, most: int = _JSON_BYTES) -> dict[str, Any]:
        found = await BodyReader(request, limits).whole(most)
        data = parse_json(found, "The request", require={})
        return dict(data)

    async def written(request: Request, path: Path, most: int) -> int:
        """Write the body of a request to a file, which is whole or absent."""
        reader, size = BodyReader(request, limits), 0
        part = path.with_name(f"{path.name}.{threading.get_ident():x}-{id(request):x}.part")
        try:
            with private(part, "wb") as stream:
                while piece := await reader.piece(_BLOCK):
                    size += len(piece)
                    if size > most:
                        raise InputError(what="A file is longer than was announced", given=f"{size} of {most} bytes")
                    stream.write(piece)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return size

    @app.get("/")
    def page() -> Response:
        return static_file("index.html")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        return static_file(name)

    @app.get("/app/start", **mine)
    def start() -> dict[str, Any]:
        return {**start_words(), "kept": settings.kept, "device": state.device, "most_bytes": limits.max_upload_bytes}

    @app.get("/app/cases", **mine)
    def listed() -> dict[str, Any]:
        return {"cases": [case.to_plain() for case in cases.all()]}

    @app.post("/app/cases", **mine)
    async def new_case(request: Request) -> dict[str, Any]:
        data = await body_of(request)
        if "sample" in data:
            return (await asyncio.to_thread(cases.open_sample, str(data["sample"]))).to_plain()
        given = data.get("files")
        files = [from_plain(Sent, one, "a file") for one in given] if isinstance(given, list) else []
        return (await asyncio.to_thread(cases.announce, files, str(data.get("after_of") or ""))).to_plain()

    @app.delete("/app/cases/{case_id}", **mine)
    def remove(case_id: str) -> dict[str, Any]:
        case = cases.get(case_id)
        for run in case.record.runs:
            runs.forget(run.id)
        cases.remove(case)
        return {"removed": True}

    @app.put("/app/cases/{case_id}/files/{number}", **mine)
    async def send(request: Request, case_id: str, number: int) -> dict[str, Any]:
        case = cases.get(case_id)
        path = case.sent_file(number)
        return {"bytes": await written(request, path, case.record.files[number].bytes)}

    @app.post("/app/cases/{case_id}/read", **mine)
    async def read(request: Request, case_id: str) -> dict[str, Any]:
        case, data = cases.get(case_id), await body_of(request)
        await asyncio.to_thread(cases.read, case, str(data.get("series") or ""))
        return case.to_plain()

    @app.get("/app/cases/{case_id}", **mine)
    def one(case_id: str) -> dict[str, Any]:
        case = cases.get(case_id)
        after = cases.after(case)
        treated = cases.treated_sample(case)
        return {
            **told(case),
            "advice": advise(case.record.form),
            "after": after.to_plain() if after is not None else None,
            "after_sample": treated,
        }

    @app.get("/app/cases/{case_id}/voxels", **mine)
    def voxels(case_id: str) -> Response:
        case = cases.get(case_id)
        _ = case.grid  # an error where no CT is open
        return _raw(case.folder / CT_RAW)

    @app.get("/app/cases/{case_id}/outline", **mine)
    def outline(case_id: str) -> Response:
        case = cases.get(case_id)
        with case.lock:
            labels, edition = case.labels(), case.record.outline.edition if case.record.outline else 0
        return Response(labels.array.tobytes(), media_type=_BINARY, headers={"X-MeWM-Edition": str(edition)})

    @app.patch("/app/cases/{case_id}/outline", **mine)
    async def paint(request: Request, case_id: str, box: str, edition: int) -> dict[str, Any]:
        case = cases.get(case_id)
        corners = _numbers(box)
        values = await BodyReader(request, limits).whole(_OUTLINE_BYTES)
        await asyncio.to_thread(case.paint, corners, values, edition)
        return told(case)

    @app.put("/app/cases/{case_id}/outline", **mine)
    async def given_outline(request: Request, case_id: str, name: str) -> dict[str, Any]:
        case = cases.get(case_id)
        _ = case.grid  # an error where no CT is open
        path = case.folder / f"given{ending_of(name)}"
        try:
            await written(request, path, limits.max_upload_bytes)
            await asyncio.to_thread(cases.read_labels, case, path, name)
        finally:
            path.unlink(missing_ok=True)
        return told(case)

    @app.put("/app/cases/{case_id}/form", **mine)
    async def form(request: Request, case_id: str) -> dict[str, Any]:
        case, data = cases.get(case_id), await body_of(request)
        kept: dict[str, Any] = {name: data[name] for name in _FORM if name in data}
        advice = await asyncio.to_thread(advise, kept)
        await asyncio.to_thread(case.change, form=kept)
        return {**advice, "changed": runs.changed(case)}

    @app.post("/app/cases/{case_id}/runs", **mine)
    async def begin(request: Request, case_id: str) -> dict[str, Any]:
        case, data = cases.get(case_id), await body_of(request)
        run = await asyncio.to_thread(runs.start, case, str(data.get("kind") or ""), data)
        return {"id": run.id}

    @app.get("/app/cases/{case_id}/runs/{run_id}", **mine)
    def result(case_id: str, run_id: str) -> dict[str, Any]:
        case = cases.get(case_id)
        return {**runs.result(case, run_id), "outline": vars(case.record.outline) if case.record.outline else None}

    @app.get("/app/cases/{case_id}/runs/{run_id}/volumes/{rank}/{what}", **mine)
    def volume(case_id: str, run_id: str, rank: int, what: str) -> Response:
        return _raw(runs.volume(cases.get(case_id), run_id, rank, what))

    @app.get("/app/cases/{case_id}/runs/{run_id}/picture", **mine)
    def picture(case_id: str, run_id: str) -> Response:
        path = cases.get(case_id).run_folder(run_id) / "assess.png"
        if not path.is_file():
            raise InputError(what="The result has no picture")
        return FileResponse(path, media_type="image/png")

    @app.post("/app/cases/{case_id}/runs/{run_id}/exports", **mine)
    async def export(request: Request, case_id: str, run_id: str) -> dict[str, Any]:
        data = await body_of(request)
        made = await asyncio.to_thread(exports.start, cases.get(case_id), run_id, str(data.get("kind") or ""))
        return made.to_plain()

    @app.get("/app/exports/{making_id}", **mine)
    def making(making_id: str) -> dict[str, Any]:
        return exports.get(making_id).to_plain()

    @app.post("/app/exports/{making_id}/cancel", **mine)
    def cancel_making(making_id: str) -> dict[str, Any]:
        exports.cancel(making_id)
        return exports.get(making_id).to_plain()

    @app.get("/app/exports/{making_id}/file", **mine)
    def made_file(making_id: str) -> Response:
        path, name = exports.file(making_id)
        return FileResponse(path, media_type=_BINARY, filename=name)

    return app


_BINARY = "application/octet-stream"


def _raw(path: Path) -> Response:
    return FileResponse(path, media_type=_BINARY)


def _numbers(text: str) -> list[int]:
    """Six whole numbers parted by commas.

    Raises:
        InputError: it is something else.
    """
    parts = text.split(",")
    if len(parts) != 6 or not all(part.isdigit() and len(part) < 7 for part in parts):
        raise InputError(what="A box of voxels is six whole numbers", given=text[:80])
    return [int(part) for part in parts]
