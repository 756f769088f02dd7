"""The kinds of job, one entry each: what a job is given, what it writes, how it is shown, and which function does it.

Everything else is derived from an entry: the inputs that the worker accepts, the files that go to a server, what a
server refuses, the names of results, the subcommand with its arguments, and the titles of progress. The command line,
Slicer and the server read this table, so it imports nothing heavy.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from MeWMLib.core.errors import InputError

SAMPLE_PREFIX = "sample:"
#: Titles of the stages that jobs of several kinds go through.
STAGES = {
    "upload": "Send",
    "queue": "Wait",
    "read": "Read",
    "load": "Load networks",
    "segment": "Segment",
    "propose": "Propose",
    "write": "Write",
    "download": "Fetch",
    "pictures": "Pictures",
}
_JSON_TYPES: dict[str, type] = {"on": bool, "off": bool, "clinical": dict}


def common_title(stage: str) -> str:
    """A title for a stage of no kind in particular; the stage itself where there is none."""
    return STAGES.get(stage, stage)


@dataclass(frozen=True)
class Input:
    """One input of a job. The one called "case" is the argument of the command; every other one is an option of it.

    Attributes:
        name: its key in `Job.inputs`.
        help: one line for people.
        type: "text"; "on", "off" (an option that sets true or false); "ct" (path of an image or of a DICOM folder, or
            sample:NAME); "labels" (of a label file); "region" and "segments" (of a file with what somebody drew on the
            CT); "path" (of another file); "clinical" (the JSON object; for the command its file).
        metavar: what the help calls its value.
        required: no job without it.
        series: of a CT, the input that chooses the DICOM series.
        on: of labels and regions, the input with the CT that they belong to.
        stays: "" if it is sent to a server; "used" if reading the files on this computer uses it up; "private" if jobs
            with it do not run on a server.
    """

    name: str
    help: str
    type: Literal["text", "on", "off", "ct", "labels", "region", "segments", "path", "clinical"] = "text"
    metavar: str = "TEXT"
    required: bool = False
    series: str = ""
    on: str = ""
    stays: Literal["", "used", "private"] = ""

    @property
    def option(self) -> str:
        """Its option on the command line, "" for the case."""
        if self.name == "case":
            return ""
        return ("--no-" if self.type == "off" else "--") + self.name.replace("_", "-")

    @property
    def file(self) -> str:
        """Name under which a server is sent this file, or "" if it is not a file that is sent."""
        if self.type not in ("ct", "labels", "region", "segments"):
            return ""
        return "ct.nrrd" if self.name == "case" else f"{self.name}.nrrd"


@dataclass(frozen=True)
class Output:
    """What a job writes: a plan folder (`core.plan_folder`), or one file.

    Attributes:
        name: what a server calls it; a file gets an ending.
        help: one line for people.
        endings: of a file, those that can be written; with a single one any name will do. A folder has none.
        required: no job without it.
        beside: endings of further files that lie beside the one that is named, in place of its own ending.
    """

    name: str
    help: str
    endings: tuple[str, ...] = ()
    required: bool = True
    beside: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        """True for a plan folder."""
        return not self.endings

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that it can have on a server."""
        return tuple(self.name + ending for ending in self.endings) or (self.name,)

    def beside_of(self, out: Path) -> dict[str, Path]:
        """Where the further files of an output at `out` lie on this computer, by what a server calls them."""
        return {self.name + ending: out.with_name(out.stem + ending) for ending in self.beside}

    def name_for(self, out: str) -> str:
        """What a server calls the output that a user wants at `out`.

        Raises:
            InputError: a file with an ending that is not written.
        """
        if len(self.names) == 1:
            return self.names[0]
        name = Path(out).name
        for ending in sorted(self.endings, key=len, reverse=True):
            if name.lower().endswith(ending):
                return self.name + ending
        listed = f"{', '.join(self.endings[:-1])} or {self.endings[-1]}"
        raise InputError(what=f"{self.name.capitalize()} are written as {listed}", given=name)


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes:
        name: "plan", ...; also the name of the command.
        title: what is being done, for a panel.
        help: what the command does.
        example: a command that works.
        inputs: what the job is given.
        run: "module:function"; the function takes a `jobs.task.Task` and returns the data of the result event. It is
            imported in the worker only.
        output: what is written, or None.
        settings: fields of `PlanSettings` that the command offers.
        stages: titles of the stages that only this kind goes through.
    """

    name: str
    title: str
    help: str
    example: str
    inputs: tuple[Input, ...]
    run: str
    output: Output | None = None
    settings: tuple[str, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def treats(self) -> bool:
        """True if a session is chosen: which lesions are treated, and what is fed."""
        return any(entry.name == "target" for entry in self.inputs)

    @property
    def files(self) -> dict[str, str]:
        """Inputs that are sent as files, with the names of the files."""
        return {entry.name: entry.file for entry in self.inputs if entry.file}

    def input(self, name: str) -> Input:
        """The input of a name."""
        return next(entry for entry in self.inputs if entry.name == name)

    def staying(self, *reasons: str) -> list[str]:
        """Names of the inputs that do not go to a server for one of these reasons."""
        return [entry.name for entry in self.inputs if entry.stays in reasons]

    def stage_title(self, stage: str) -> str:
        """A title for a stage; the stage itself where there is none."""
        return self.stages.get(stage) or common_title(stage)

    def check(self, inputs: Mapping[str, Any], out: str | None) -> None:
        """Refuse unknown inputs, wrong types and a job that lacks something.

        Raises:
            InputError: see above.
        """
        known = {entry.name: entry for entry in self.inputs}
        unknown = sorted(set(inputs) - set(known))
        if unknown:
            raise InputError(
                what=f"Unknown input of a {self.name} job",
                given=", ".join(unknown),
                remedy="Known: " + ", ".join(known),
            )
        for name, value in inputs.items():
            if value is not None and not isinstance(value, _JSON_TYPES.get(known[name].type, str)):
                raise InputError(what=f"The input {name} has the wrong type", given=repr(value)[:80])
        for entry in self.inputs:
            if entry.required and not inputs.get(entry.name):
                how = f"Give one with {entry.option}: {entry.help}" if entry.option else f"Give {entry.help}"
                raise InputError(what=f"No {entry.name} was given", remedy=how)
        if self.output is not None and self.output.required and not out:
            what = "folder" if self.output.is_folder else "file"
            raise InputError(what=f"No output {what} was given", remedy="Give one with --out")


def load(name: str) -> Callable[..., Any]:
    """The function called "module:function"."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


_CASE_HELP = "a DICOM folder, a NIfTI, NRRD or MetaImage file, or sample:NAME (see `mewm sample`)"
_POLICY_HELP = "who proposes: guideline (default), constant:TEXT, prior:FILE, llm:ENDPOINT[+REFINER] (docs/POLICY.md)"
_PROTOCOL_HELP = (
    'agents with optional doses, joined by +, and maybe "@" with the territory, such as '
    '"Epirubicin 30 mg + Lipiodol 10 ml @ segments 5, 8"'
)
_MINE_HELP = "your own protocol: it is simulated beside the first one, and what each action of either moves is shown"
_FORBIDDEN = Input(
    "allow_forbidden", "go on although a clinical rule forbids it or TACE is contraindicated; outputs say so", "on"
)
_FILES = (
    Input("case", _CASE_HELP, "ct", "CASE", required=True, series="series"),
    Input("series", "which series of a DICOM folder: number, UID, N/ACQUISITION or N/partN", metavar="N", stays="used"),
    Input(
        "labels", "your own segmentation: 1 liver, 2 tumour, or a DICOM SEG; not changed", "labels", "FILE", on="case"
    ),
    Input("resample_labels", "accept labels on another grid than the CT's", "on", stays="used"),
    Input("label_values", "what values or segments mean, such as 6=liver,Lesions=tumour", stays="used"),
    Input("accept_labels", "go on where labels or scan look wrong (see docs/INPUTS.md)", "on"),
)
_PATIENT = (
    *_FILES,
    Input("clinical", "file with clinical data, such as child_pugh_class", "clinical", "JSON"),
    Input("goal", 'what the treatment should achieve, such as "prefer LC beads, no cisplatin"'),
    Input("accept_goal", "go on with the goal as it was understood, questions and all", "on"),
    Input("segment", "do not try the segmenter where there are labels", "off"),
)
_TARGET_HELP = "lesions to treat: 1,3 (numbers of the list of lesions), all, largest, segment:RIGHT, segment:5,8"
_TERRITORY_HELP = 'what the treated artery feeds: "right lobe", "segments 5, 8", "A8", "right hepatic artery"'
_SESSION = (
    Input("target", _TARGET_HELP, metavar="LESIONS"),
    Input("territory", _TERRITORY_HELP),
    Input("fed", "label file of the region that is fed, painted on the CT", "region", "FILE", on="case"),
    Input("fed_segment", "which segment of --fed is meant; without it all", metavar="NAME", stays="used"),
    Input("segments", "label file of Couinaud's segments, drawn on the CT", "segments", "FILE", on="case"),
)
#: To whom a language-model policy sends data is agreed on the user's own computer.
_POLICY = Input("policy", _POLICY_HELP, metavar="NAME", stays="private")
_PREVIEW_HELP = "send nothing: write the exact bytes that --policy would send"
_PHASE_HELP = "where you know it better than it can be seen: arterial, portal, delayed or non-contrast"
_POST = (
    Input("post", "the CT after treatment", "ct", "FILE", required=True, series="post_series"),
    Input("post_series", "which series, if --post is a DICOM folder", metavar="N", stays="used"),
    Input(
        "post_labels", "labels on the CT after treatment; segmented where they are missing", "labels", "FILE", on="post"
    ),
    Input("phase", f"contrast phase of CASE, {_PHASE_HELP}", metavar="PHASE"),
    Input("post_phase", "the same of the CT after treatment", metavar="PHASE"),
    Input("register", "the CT after treatment is registered already: only measure how well it fits", "off"),
    Input("accept_registration", "go on although the scans do not fit (see docs/ASSESS.md)", "on"),
    Input("registered", "also write the registered CT and the deformation beside --out", "on"),
)
_PLAN_FOLDER = Output("plan", "folder to write")
_SIMULATION_SETTINGS = ("replicas", "steps", "guidance", "weeks", "judge")

_KINDS = (
    JobKind(
        "plan",
        title="Exploring protocols",
        help="search the TACE protocol of lowest predicted risk and simulate the best ones",
        example="mewm plan ct.nrrd --labels labels.seg.nrrd --clinical patient.json --out out/plan",
        inputs=(*_PATIENT, *_SESSION, _POLICY, Input("mine", _MINE_HELP, metavar="PROTOCOL"), _FORBIDDEN),
        run="MeWMLib.jobs.plan_job:plan",
        output=_PLAN_FOLDER,
        settings=(
            "search",
            "space",
            "beams",
            "drugs",
            "embolics",
            "drug_horizon",
            "embolic_horizon",
            *_SIMULATION_SETTINGS,
            "keep",
            "dose_levels",
            "toxicity_weight",
            "complexity_weight",
            "uncertainty_weight",
        ),
        stages={"plan": "Search", "beside": "Comparisons", "simulate": "Simulate the best"},
    ),
    JobKind(
        "simulate",
        title="Simulating",
        help="simulate the CT after one protocol that you name",
        example='mewm simulate sample:lits-117 --protocol "Epirubicin 30 mg + Lipiodol 10 ml" --out out/simulated',
        inputs=(*_PATIENT, *_SESSION, Input("protocol", _PROTOCOL_HELP, required=True), _FORBIDDEN),
        run="MeWMLib.jobs.plan_job:simulate",
        output=_PLAN_FOLDER,
        settings=_SIMULATION_SETTINGS,
        stages={"plan": "Simulate", "simulate": "Write volumes"},
    ),
    JobKind(
        "segment",
        title="Finding liver and tumour",
        help="segment liver and tumour",
        example="mewm segment ct.nrrd --out labels.seg.nrrd",
        inputs=_FILES,
        run="MeWMLib.jobs.kinds:segment",
        output=Output(
            "labels", "label file to write (.seg.nrrd, .nrrd, .nii.gz)", (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")
        ),
    ),
    JobKind(
        "propose",
        title="Measuring lesions",
        help="propose drugs and embolics for a patient, with reasons",
        example="mewm propose ct.nrrd --labels labels.seg.nrrd --json",
        inputs=(
            *_PATIENT,
            *_SESSION,
            _POLICY,
            Input("preview", _PREVIEW_HELP, "path", "FILE", stays="private"),
            _FORBIDDEN,
        ),
        run="MeWMLib.jobs.kinds:propose",
        settings=("drugs", "embolics"),
    ),
    JobKind(
        "assess",
        title="Assessing the CT after treatment",
        help="register a real CT after treatment to the one before, measure the response and predict the risk",
        example="mewm assess pre.nrrd --labels pre.seg.nrrd --post post.nrrd --out response.json",
        inputs=(*_PATIENT, *_POST),
        run="MeWMLib.jobs.assess_job:assess",
        output=Output(
            "assess",
            "JSON file to write; a picture of the registration goes beside it",
            (".json",),
            required=False,
            beside=(".png", "_registered.nrrd", "_deformation.h5"),
        ),
        stages={
            "segment_after": "Segment the CT after treatment",
            "register": "Register",
            "assess": "Assess the risk",
        },
    ),
)
#: Every kind of job by its name.
KINDS = {kind.name: kind for kind in _KINDS}


def kind_of(name: object) -> JobKind:
    """The kind of job of a name.

    Raises:
        InputError: there is none.
    """
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(what="Unknown kind of job", given=repr(name)[:80], remedy="Use " + ", ".join(KINDS))
    return kind
