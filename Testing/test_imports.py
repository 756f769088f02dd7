"""Who may import whom, where torch may be, how long files are. docs/ARCHITECTURE.md shows the same table.

`python Testing/test_imports.py` writes the table into the document (`make docs`).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = "MeWMLib"
VERBS = ("perception", "policy", "dynamics", "survival", "planning")
PRODUCT = ("core", *VERBS, "world", "rendering", "cohorts", "jobs", "exchange", "scene", "app", "cli")

#: The client of a server, and what the fronts may know of jobs.
REMOTE = ("jobs.remote", "jobs.remote_http", "jobs.remote_files", "jobs.remote_upload", "jobs.inputs")
FRONTS = (
    "jobs.table",
    "jobs.job",
    "jobs.known",
    "jobs.processes",
    "jobs.runner",
    "jobs.warm",
    "jobs.wire",
    "jobs.server_token",
    *REMOTE,
)

#: What a server consists of, and what its parts share with the others.
SERVER = (
    "jobs.fair_queue",
    "jobs.job",
    "jobs.processes",
    "jobs.runner",
    "jobs.server_files",
    "jobs.server_guard",
    "jobs.server_jobs",
    "jobs.server_leftovers",
    "jobs.server_limits",
    "jobs.server_news",
    "jobs.server_notes",
    "jobs.server_slots",
    "jobs.server_state",
    "jobs.server_upload",
    "jobs.server_users",
    "jobs.server_work",
    "jobs.ray_workers",
    "jobs.store",
    "jobs.table",
    "jobs.wire",
)

#: Room to the rooms that it may import; its own is always allowed. The longest prefix of a module's name decides.
ALLOWED: dict[str, tuple[str, ...]] = {
    "": (),
    "core": (),
    **dict.fromkeys(VERBS, ("core",)),
    "world": (*VERBS, "core", "rendering"),
    "rendering": ("core",),
    "cohorts": ("core", "perception", "policy", "rendering"),
    # a goal is read, and asked about, before a job does any work
    "jobs": ("world", "planning", "cohorts", "policy", "core"),
    "jobs.table": ("core",),
    "jobs.job": ("core", "jobs.table"),
    "jobs.inputs": ("core", "jobs.job", "jobs.table", "perception.phase"),
    "jobs.processes": ("core",),
    "jobs.store": ("core",),
    "jobs.known": ("core", "jobs.job", "jobs.store"),
    "jobs.runner": ("core", "jobs.job", "jobs.known", "jobs.processes"),
    "jobs.warm": ("core", "jobs.job", "jobs.processes", "jobs.runner"),
    "jobs.wire": ("core", "jobs.job", "jobs.table"),
    "jobs.server_token": ("core",),
    # the parts of the server; no front but `mewm serve` and `mewm token` knows them
    "jobs.confine": (),
    "jobs.fair_queue": ("core", "jobs.store"),
    "jobs.nrrd_grammar": ("core",),
    "jobs.server_limits": ("core", "jobs.runner"),
    "jobs.server_news": (),
    "jobs.server_notes": ("core",),
    "jobs.server_users": ("core",),
    "jobs.server_files": ("core", "jobs.job", "jobs.nrrd_grammar", "jobs.table", "jobs.wire"),
    "jobs.server_leftovers": ("core", "jobs.store"),
    "jobs.server_slots": (
        "core",
        "jobs.confine",
        "jobs.job",
        "jobs.runner",
        "jobs.server_leftovers",
        "jobs.store",
        "jobs.warm",
    ),  # fmt: skip
    "jobs.ray_workers": ("core", "jobs.job", "jobs.runner", "jobs.server_leftovers", "jobs.server_slots", "jobs.store"),
    **dict.fromkeys(
        ("jobs.server_work", "jobs.server_jobs", "jobs.server_guard", "jobs.server_upload", "jobs.server_state"),
        ("core", *SERVER),
    ),
    "jobs.server": ("core", *SERVER),
    "jobs.server_check": ("core", *SERVER, "jobs.server"),
    "jobs.remote_http": ("core", "jobs.job", "jobs.wire"),
    "jobs.remote_files": ("core", "cohorts.samples", "jobs.inputs", "jobs.job", "jobs.table", "jobs.wire"),
    "jobs.remote_upload": ("core", "jobs.remote_http", "jobs.wire"),
    "jobs.remote": ("core", "jobs.job", "jobs.known", "jobs.runner", "jobs.store", "jobs.wire", *REMOTE),
    # what a simulated lesion consists of and how it has responded is measured as on a scan; the key of opaque ids; its
    # own process speaks as a worker does
    "exchange": (
        "core",
        "jobs.job",
        "perception.response",
        "perception.response_lesions",
        "perception.viability",
        "cohorts.identity",
    ),  # fmt: skip
    "scene": ("core", "jobs.job", "jobs.runner"),
    # the page of one user over a server of its own
    "app": (
        "core",
        *FRONTS,
        *SERVER,
        "jobs.server",
        "scene.viewer_page",
        "policy",
        "cohorts.samples",
        "cohorts.sample_table",
        "exchange.export",
        "perception.phase",
    ),
    "cli": ("core", *FRONTS, "scene", "policy", "cohorts.samples", "exchange", "cohorts.identity"),
    # what it verifies is measured again, without any network
    "cli.verify": ("core", *FRONTS, "exchange", "jobs.verification", "jobs.verified_numbers", "jobs.rerun"),
    "cli.serve": ("core", *FRONTS, *SERVER, "jobs.server", "jobs.server_check"),
    "cli.app": ("core", *FRONTS, *SERVER, "app"),
    "cli.token": ("core", "jobs.server_users"),
    "lab": PRODUCT,
}
#: What the Slicer module may import of the package; it is no part of it and lives in Slicer's process.
ALLOWED_IN_SLICER = (
    "core",
    *FRONTS,
    "scene",
    "policy.rules",
    "policy.goal",
    "cohorts.sample_table",
    "cohorts.samples",
    "cohorts.synthetic.world",
)
#: Rooms that never import torch, nor anything that does.
TORCH_FREE = (
    "core",
    "policy",
    "planning",
    "exchange",
    "world.assessment",
    "world.exploration",
    "world.questions",
    "world.replicas",
    "world.treating",
    "world.written",
    "scene",
    "app",
    "cli",
    "rendering",
    "cohorts",
    "jobs.table",
    "jobs.job",
    "jobs.processes",
    "jobs.runner",
    "jobs.warm",
    "jobs.wire",
    "jobs.confine",
    "jobs.fair_queue",
    "jobs.known",
    "jobs.nrrd_grammar",
    "jobs.server",
    "jobs.server_check",
    "jobs.server_files",
    "jobs.server_guard",
    "jobs.server_jobs",
    "jobs.server_limits",
    "jobs.server_notes",
    "jobs.server_slots",
    "jobs.server_state",
    "jobs.server_token",
    "jobs.server_upload",
    "jobs.server_users",
    "jobs.server_work",
    "jobs.store",
    "jobs.rerun",
    "jobs.verification",
    "jobs.verified_numbers",
    *REMOTE,
    "lab.synthetic.write",
    "lab.synthetic.plant",
    "perception.chords",
    "perception.deposits",
    "perception.findings",
    "perception.findings_table",
    "perception.label_questions",
    "perception.liver_place",
    "perception.neighbours",
    "perception.removals",
    "perception.phase",
    "perception.preprocess",
    "perception.segments",
    "perception.surroundings",
    "perception.postprocess",
    "perception.registration",
    "perception.registration_picture",
    "perception.response",
    "perception.response_lesions",
    "perception.trunk",
    "perception.viability",
)
#: What each room is for, in the order of docs/ARCHITECTURE.md.
PURPOSES = {
    "core": "the shared vocabulary: volumes, patients, protocols, plans, errors; files; model bundles",
    "perception": "CT to liver and tumour labels, and what they measure; two scans brought together, and the response",
    "policy": "patient and goal to candidate drugs and embolics; clinical rules; operation reports; language models",
    "dynamics": "patch, protocol and seed to a simulated patch",
    "survival": "before and after to a risk",
    "planning": "the search, over callables only",
    "world": "`WorldModel`: the five verbs joined over one bundle",
    "rendering": "physical maps (tissue, iodine) to HU as a scanner shows them",
    "cohorts": "samples, real patients (import, layout, tables), and the drawing of synthetic ones for samples",
    "jobs": "what a job is, and how it is run: worker process, runner, server and its client",
    "exchange": "plans to DICOM objects of a study, and these to and from a PACS",
    "scene": "plans to Slicer's MRML, pictures and report",
    "app": "the app in the browser: cases, requests and page over the job server (`mewm app`)",
    "cli": "the command `mewm`",
    "lab": "everything only research needs: training, evaluation, synthetic cohorts, baselines, figures",
}
HEAVY = ("torch", "monai")
#: Packages of the server alone; the fronts start where they are not installed.
SERVER_ONLY = ("fastapi", "uvicorn", "starlette")


@cache
def _modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for file in sorted((REPOSITORY / PACKAGE).rglob("*.py")):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def _imports(module: str) -> frozenset[str]:
    """Everything that a file imports, wherever in it, as dotted names; relative imports made absolute."""
    file, found = _modules()[module], set()
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    if module == PACKAGE:
        # the front door names what it offers for type checkers alone, and imports it when it is asked for
        tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in _modules() else base)
    return frozenset(found)


def _ours(module: str) -> set[str]:
    """Modules of ours that a file imports."""
    return {name for name in _imports(module) if name.split(".")[0] == PACKAGE}


def _room(module: str) -> str:
    return module.partition(".")[2]


def _within(room: str, rooms: tuple[str, ...]) -> bool:
    return any(room == r or room.startswith(f"{r}.") for r in rooms)


def _forbidden(module: str, imported: str) -> bool:
    """True if the table does not let `module` import `imported`."""
    here, there = _room(module), _room(imported)
    if there == "":
        return False  # the package itself: its version
    key = max((k for k in ALLOWED if k == "" or _within(here, (k,))), key=len)
    own = here.split(".")[0]
    # the fronts of jobs are a room of their own: they may not reach into the worker's files
    same_room = there.split(".")[0] == own and not key.startswith("jobs.")
    return not (same_room or _within(there, ALLOWED[key]))


def _closure(module: str) -> dict[str, str]:
    """Modules of ours that come along with a module, each with the one that imports it."""
    seen, waiting = {module: ""}, [module]
    while waiting:
        current = waiting.pop()
        for name in _ours(current):
            if name in _modules() and name not in seen:
                seen[name] = current
                waiting.append(name)
    return seen


def _heavy_modules(closure: dict[str, str]) -> list[str]:
    return [f"{m} (from {closure[m]})" for m in closure if {i.split(".")[0] for i in _imports(m)} & set(HEAVY)]


@pytest.mark.parametrize("module", list(_modules()))
def test_imports_follow_the_table(module):
    assert [name for name in sorted(_ours(module)) if _forbidden(module, name)] == []


def _architecture_table() -> str:
    """The table of docs/ARCHITECTURE.md."""
    lines = ["| room | what it does | imports torch | may import (of ours) |", "|---|---|---|---|"]
    for room, purpose in PURPOSES.items():
        inside = [name for name in TORCH_FREE if name.startswith(f"{room}.")]
        torch = "no" if room in TORCH_FREE else "yes" if not inside else "only where the networks run"
        others = dict.fromkeys(r.split(".")[0] for key in ALLOWED if _within(key, (room,)) for r in ALLOWED[key])
        may = ", ".join(f"`{name}`" for name in others if name != room) or "nothing"
        lines.append(f"| `MeWMLib/{room}/` | {purpose} | {torch} | {'all of these' if room == 'lab' else may} |")
    slicer = ", ".join(f"`{name}`" for name in dict.fromkeys(r.split(".")[0] for r in ALLOWED_IN_SLICER))
    what = "the module of 3D Slicer: panels over nodes; it starts jobs and shows results"
    lines.append(f"| `MeWM/` | {what} | no | {slicer} |")
    return "\n".join(lines) + "\n"


def _architecture(text: str) -> str:
    """The document with the table of today."""
    start, end = "<!-- rooms -->\n", "<!-- /rooms -->"
    before, rest = text.split(start)
    return before + start + _architecture_table() + end + rest.split(end)[1]


def test_the_document_shows_this_table():
    text = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert text == _architecture(text), "run `make docs`"
    assert set(PURPOSES) == {_room(m).split(".")[0] for m in _modules()} - {""}


def test_the_table_can_fail():
    assert _forbidden("MeWMLib.policy.rules", "MeWMLib.planning.beam")
    assert _forbidden("MeWMLib.core.io", "MeWMLib.policy.rules")
    assert _forbidden("MeWMLib.scene.report", "MeWMLib.world.model")
    assert _forbidden("MeWMLib.scene.report", "MeWMLib.jobs.worker")
    assert _forbidden("MeWMLib.jobs.runner", "MeWMLib.jobs.worker")
    assert _forbidden("MeWMLib.cli.jobs", "MeWMLib.cohorts.synthetic.world")
    assert _forbidden("MeWMLib.world.model", "MeWMLib.lab.training.data")
    assert _forbidden("MeWMLib.cohorts.layout", "MeWMLib.lab.synthetic.write")
    assert not _forbidden("MeWMLib.jobs.runner", "MeWMLib.jobs.job")
    assert not _forbidden("MeWMLib.cli.jobs", "MeWMLib.cli.output")
    assert not _forbidden("MeWMLib.world.model", "MeWMLib.dynamics.model")


def test_every_room_stands_in_the_table():
    rooms = {_room(m).split(".")[0] for m in _modules()}
    assert rooms <= {k.split(".")[0] for k in ALLOWED}


def test_what_is_imported_is_there():
    missing = [(m, name) for m in _modules() for name in _ours(m) if name not in _modules()]
    assert missing == []


@pytest.mark.parametrize("module", [m for m in _modules() if _within(_room(m), TORCH_FREE)])
def test_no_torch_in_torch_free_rooms_nor_behind_them(module):
    assert _heavy_modules(_closure(module)) == []


def test_the_search_for_torch_can_fail():
    assert any(_heavy_modules(_closure(m)) for m in _modules() if _room(m).startswith("dynamics."))


def test_no_import_circles():
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, "circle: " + " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for name in sorted(_ours(module) & set(_modules())):
                visit(name, (*trail, module))
            done.add(module)

    for module in _modules():
        visit(module, ())


def _slicer_files() -> list[Path]:
    return sorted((REPOSITORY / "MeWM").rglob("*.py"))


def _imports_of_file(file: Path) -> set[str]:
    """Everything that a file of the Slicer module imports, modules of the package in full."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in whole if name in _modules()} or {node.module}
    return found


@pytest.mark.parametrize("file", _slicer_files(), ids=lambda f: f.name)
def test_the_slicer_module_imports_no_torch_and_only_what_it_may(file):
    imported = _imports_of_file(file)
    ours = {name for name in imported if name.split(".")[0] == PACKAGE and name != PACKAGE}
    assert [name for name in ours if not _within(_room(name), ALLOWED_IN_SLICER)] == []
    assert {name.split(".")[0] for name in imported} & set(HEAVY) == set()
    assert [heavy for name in ours if name in _modules() for heavy in _heavy_modules(_closure(name))] == []


def test_slicers_start_loads_nothing_of_ours():
    tree = ast.parse((REPOSITORY / "MeWM" / "MeWM.py").read_text(encoding="utf-8"))
    top = {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    top |= {n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in top} <= {"slicer", "vtk", *sys.stdlib_module_names}


@pytest.mark.parametrize(
    "module",
    [
        "jobs.runner",
        "jobs.job",
        "jobs.remote",
        "scene",
        "cli",
        "core.bundles",
        "policy.guideline",
        "planning.beam",
        "cohorts.samples",
        "core.io",
    ],
)
def test_a_fresh_interpreter_loads_no_torch(module):
    code = (
        f"import sys, {PACKAGE}.{module}\n"
        f"found = sorted(m for m in sys.modules if m.split('.')[0] in {(*HEAVY, *SERVER_ONLY)!r})\n"
        "raise SystemExit('loaded: ' + ', '.join(found[:5]) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("folder", "limit"), [("MeWMLib", 400), ("MeWM", 400), ("Testing", 600)])
def test_no_file_is_long(folder, limit):
    """Tests may be longer: they are lists of cases."""
    files = (REPOSITORY / folder).rglob("*.py")
    lengths = {str(f.relative_to(REPOSITORY)): len(f.read_text(encoding="utf-8").splitlines()) for f in files}
    assert {name: n for name, n in lengths.items() if n >= limit} == {}


if __name__ == "__main__":
    page = REPOSITORY / "docs" / "ARCHITECTURE.md"
    page.write_text(_architecture(page.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
