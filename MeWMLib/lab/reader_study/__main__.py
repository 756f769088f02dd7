"""`mewm study`: reader studies, of pictures and of plans. `python -m MeWMLib.lab.reader_study` is that program."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import StudyError, optional_packages
from MeWMLib.core.io import write_csv, write_json
from MeWMLib.core.reader_study import REAL
from MeWMLib.lab.program import Options, Part, Tell, run_program
from MeWMLib.lab.reader_study.size import DEVIATIONS, PAPER_GAIN, size_lines


def make(args: argparse.Namespace, tell: Tell) -> str:
    """Make a study of pictures."""
    from MeWMLib.lab.reader_study.key import default_key

    with optional_packages("The page of a study", "scene"):
        from MeWMLib.lab.reader_study.make import MakeSettings, make_study, plain_lines, with_readers
    from MeWMLib.lab.reader_study.sources import from_cohort, from_plans, from_table, named_folders

    sources = [one for path in args.scans for one in from_table(path)]
    sources += [one for folder in args.cohort for one in from_cohort(folder, REAL)]
    sources += [one for name, folder in named_folders(args.simulated).items() for one in from_plans(folder, name)]
    settings = MakeSettings(
        # one that nobody can guess, unless the study is to be made again
        seed=secrets.randbelow(2**63) if args.seed is None else args.seed,
        size=args.size,
        per_session=args.per_session,
        title=args.title,
        spacing_mm=_three(args.spacing),
        **({} if args.box is None else {"box_mm": _three(args.box)}),
    )
    key = args.key or default_key(args.out)
    made = make_study(sources, args.out, key, with_readers(settings, args.readers), tell)
    counts = (len(made.study.cases), len(made.pages), len(made.study.readers))
    sizes = "Cases: {}, sessions: {}, readers: {}".format(*counts)
    lines = [
        f"{sizes}. Give readers {args.out}, or the page of a session alone.",
        f"The key: {key}. Keep it from the readers.",
        *made.key.notes,
        *plain_lines(made.plain),
    ]
    return "\n".join(lines)


def _three(values: list[float] | None) -> Any:
    """Millimetres along superior, posterior and left; one number stands for all."""
    if values is None:
        return None
    if len(values) not in (1, 3):
        raise StudyError(what="Sizes are one number or three (k, j, i)", given=" ".join(map(str, values)))
    return tuple(values) if len(values) == 3 else (values[0],) * 3


def simulate(args: argparse.Namespace, tell: Tell) -> str:
    """Simulate the patients of a cohort under what was given."""
    from MeWMLib.jobs.job import Job
    from MeWMLib.lab.reader_study.simulate import simulate_cohort

    template = Job("simulate", {}, None, args.seed, args.device, args.bundle, {"replicas": args.replicas})
    found = simulate_cohort(args.cohort, args.out, args.protocol, template, tell=tell)
    lines = [f"{len(found.done)} patients: {args.out}"]
    return "\n".join([*lines, *(f"  left out, {name}: {why}" for name, why in found.left_out.items())])


def score(args: argparse.Namespace, tell: Tell) -> str:
    """Score answers."""
    from MeWMLib.lab.reader_study.key import default_key
    from MeWMLib.lab.reader_study.score import score_lines, score_study
    from MeWMLib.lab.reader_study.score_files import PAGE, write_scores

    tell("score", 0.0)
    scores = score_study(args.study, args.key or default_key(args.study), args.answers, args.seed)
    out = args.out or args.study.absolute().with_name(f"{args.study.absolute().name}_scores")
    write_scores(scores, out)
    return "\n".join([*score_lines(scores), *scores.notes, f"Written: {out / PAGE}"])


def planning_make(args: argparse.Namespace, tell: Tell) -> str:
    """Write the forms of a planning study."""
    from MeWMLib.lab.reader_study.forms import write_forms

    readers = [f"R{n}" for n in range(1, args.readers + 1)]
    written = write_forms(args.plans, args.out, readers, args.seed)
    return f"{len(written)} forms: {args.out}. Give out the forms `with_...` when those `without_...` are back."


def planning_score(args: argparse.Namespace, tell: Tell) -> str:
    """Judge the choices of a planning study."""
    from MeWMLib.lab.reader_study.forms import read_forms
    from MeWMLib.lab.reader_study.planning import judge, planning_lines, planning_rows, read_choices
    from MeWMLib.lab.reader_study.result_page import percent

    path = args.choices
    if path.is_dir():
        rows = read_forms(path)
        path = args.out / "choices.csv"
        write_csv(("reader", "patient", "without", "with"), rows, path)
    result = judge(read_choices(path, args.gold), args.seed)
    write_json(result, args.out / "planning.json")
    rows = planning_rows(result)
    write_csv(tuple(rows[0]), rows, args.out / "planning.csv")
    return "\n".join(planning_lines(result, percent))


def size(args: argparse.Namespace, tell: Tell) -> str:
    """Say how many patients and cases are needed."""
    from MeWMLib.lab.reader_study.planning import judge, read_choices

    deviations = tuple(args.sd)
    if args.pilot is not None:
        deviations = (judge(read_choices(args.pilot, args.gold)).sd,)
    return "\n".join(size_lines(args.gain, deviations, args.alpha))


_SEED: dict[str, Any] = {"type": int, "default": 0, "help": "of every draw (default 0)"}
_READERS: dict[str, Any] = {"type": int, "default": 3, "metavar": "N", "help": "how many: R1, R2, ... (default 3)"}
_GOLD: dict[str, Any] = {
    "type": Path,
    "metavar": "CSV",
    "help": "patient and gold, where the choices have no column gold",
}
_MAKE: Options = {
    "--cohort": {"type": Path, "action": "append", "default": [], "metavar": "DIR",
                 "help": "cohort whose scans after treatment are the real ones; may be given several times"},
    "--simulated": {"action": "append", "default": [], "metavar": "NAME=DIR",
                    "help": "a method, and the folder of plans (or cohort) that it simulated; one for each method"},
    "--scans": {"type": Path, "action": "append", "default": [], "metavar": "CSV",
                "help": "scans as a table: method (real, or a name), patient, ct, labels"},
    "--out": {"type": Path, "required": True, "metavar": "STUDY", "help": "new folder, which the readers get"},
    "--key": {"type": Path, "metavar": "FILE", "help": "the key (default: STUDY_key.json beside the folder)"},
    "--size": {"type": int, "metavar": "N", "help": "scans of either kind a method (the paper: 24; default: all)"},
    "--readers": _READERS,
    "--per-session": {"type": int, "default": 48, "metavar": "N", "help": "cases of one sitting (default 48)"},
    "--title": {"default": "Reader study: CT of the liver after TACE", "help": "what readers see"},
    "--spacing": {"type": float, "nargs": "+", "metavar": "MM", "help": "voxels (k j i); default: the coarsest scan's"},
    "--box": {"type": float, "nargs": "+", "metavar": "MM", "help": "box about the lesion (k j i; default 96 180 180)"},
    "--seed": {"type": int, "help": "of every draw, to make the same study again (default: one that nobody knows)"},
}  # fmt: skip
PARTS: dict[str, Part] = {
    "make": (make, "make a blinded study of real and simulated scans", _MAKE),
    "simulate": (
        simulate,
        "simulate every patient of a cohort under the protocol that was given",
        {
            "--cohort": {"type": Path, "required": True, "metavar": "DIR", "help": "folder of the cohort"},
            "--out": {"type": Path, "required": True, "metavar": "DIR", "help": "for the simulated scans"},
            "--protocol": {"default": "", "help": "of patients of whom it is not known what was given"},
            "--bundle": {"metavar": "B", "help": "name or folder of a model bundle"},
            "--device": {"default": "auto", "choices": ("auto", "cpu", "cuda", "mps")},
            "--replicas": {"type": int, "default": 1, "metavar": "N", "help": "of each; the one nearest to the mean is "
                           "written (default 1)"},
            "--seed": _SEED,
        },
    ),
    "score": (
        score,
        "score the answers of its readers",
        {
            "study": {"type": Path, "metavar": "STUDY", "help": "folder of the study"},
            "answers": {"type": Path, "nargs": "+", "metavar": "ANSWERS", "help": "files that readers saved"},
            "--key": {"type": Path, "metavar": "FILE", "help": "the key (default: STUDY_key.json beside the folder)"},
            "--out": {"type": Path, "metavar": "DIR", "help": "for the result (default: STUDY_scores beside it)"},
            "--seed": _SEED,
        },
    ),
    "planning-make": (
        planning_make,
        "write forms on which physicians choose a protocol without and with MeWM",
        {
            "plans": {"type": Path, "metavar": "DIR", "help": "folder of `mewm plan-cohort`"},
            "--out": {"type": Path, "required": True, "metavar": "DIR", "help": "folder for the forms"},
            "--readers": _READERS,
            "--seed": _SEED,
        },
    ),
    "planning-score": (
        planning_score,
        "F1 of the choices without and with MeWM, paired",
        {
            "choices": {"type": Path, "metavar": "CHOICES", "help": "folder of filled forms, or a CSV: reader, "
                        "patient, without, with, gold"},
            "--gold": _GOLD,
            "--out": {"type": Path, "required": True, "metavar": "DIR", "help": "for planning.json and planning.csv"},
            "--seed": _SEED,
        },
    ),
    "size": (
        size,
        "how many patients and cases a study needs",
        {
            "--gain": {"type": float, "default": PAPER_GAIN, "metavar": "F1", "help": "to find (default: the paper's)"},
            "--sd": {"type": float, "nargs": "+", "default": list(DEVIATIONS), "help": "of the patients' differences"},
            "--pilot": {"type": Path, "metavar": "CSV", "help": "choices from which the SD is taken instead"},
            "--gold": _GOLD,
            "--alpha": {"type": float, "default": 0.05, "help": "two-sided (default 0.05)"},
        },
    ),
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run one part; the result in words goes to standard output."""
    return run_program("mewm study", __doc__, PARTS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
