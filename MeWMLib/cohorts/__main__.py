"""`python -m MeWMLib.cohorts NAME`: import, check, split or measure patients. `mewm cohort` starts this."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.check import SERVES, check_cohort
from MeWMLib.cohorts.cohort_page import write_cohort_page
from MeWMLib.cohorts.dicom_import import LAYOUTS, ImportSettings, import_cohort
from MeWMLib.cohorts.dicom_patient import GRIDS
from MeWMLib.cohorts.layout import MANIFEST, Cohort
from MeWMLib.cohorts.quality_page import QUALITY_PAGE
from MeWMLib.cohorts.splits import FILE, PARTS, SHARE, make_splits, read_splits, splits_of
from MeWMLib.core.errors import CohortError
from MeWMLib.core.io import write_csv, write_json
from MeWMLib.core.terminal import bars, run_with_summary
from MeWMLib.perception.findings import measure
from MeWMLib.perception.findings_table import FIELDS, findings_rows, findings_table
from MeWMLib.perception.phase import phase_of


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mewm cohort", description="Import or measure real patients.")
    names = parser.add_subparsers(dest="name", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], dict[str, object]], text: str, out: str) -> Any:
        sub = names.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--out", type=Path, required=True, metavar="DIR", help=out)
        sub.add_argument("--quiet", action="store_true", help="no progress")
        return sub

    text = "turn a folder of DICOM files into a cohort: scans before and after, phases, masks, quality page"
    sub = command("import", _import, text, "folder of the cohort; an import that was stopped continues there")
    sub.add_argument("root", type=Path, metavar="DIR", help="folder; it is only read")
    sub.add_argument("--layout", choices=LAYOUTS, required=True, help="tcia: public collection; folder: one a patient")
    sub.add_argument("--clinical", type=Path, metavar="CSV", help="regimen, survival, clinical data (docs/COHORTS.md)")
    sub.add_argument("--grid", choices=GRIDS, default="cohort", help="0.8 x 0.8 x 3.0 mm (default), or as scanned")
    sub.add_argument("--all-phases", action="store_true", help="keep every phase, not only the pair")
    sub.add_argument(
        "--key-file", type=Path, metavar="F", help="key of the opaque ids (default: made once, kept by you)"
    )
    text = "measure the lesions of every patient with masks: table, JSON and text"
    sub = command("findings", _findings, text, "folder for findings.csv and findings.json")
    sub.add_argument("--cohort", type=Path, required=True, metavar="DIR", help="cohort")
    text = "say what the patients lack, what follows from it, and which command makes it"
    sub = _on(names, "check", _check, text)
    sub.add_argument("--out", type=Path, metavar="FILE", help="JSON file to write the same into")
    sub.add_argument("--quick", action="store_true", help="look at files only, and read no image")
    text = "put the patients on sides for training, validation and test, and write splits.json"
    sub = _on(names, "split", _split, text)
    sub.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    for side in ("validation", "test"):
        sub.add_argument(f"--{side}", type=float, default=SHARE, metavar="SHARE", help=f"of the persons ({SHARE})")
    sub.add_argument("--out", type=Path, metavar="FILE", help="the file (default: splits.json of the cohort)")
    text = "describe a cohort in one HTML file: who was left out, who the patients are, protocols, quality"
    sub = _on(names, "page", _page, text)
    sub.add_argument("--out", type=Path, required=True, metavar="FILE", help="HTML file; JSON is written beside it")
    sub.add_argument("--quick", action="store_true", help="look at files only, and read no image")
    return parser


def _on(names: Any, name: str, run: Callable[[argparse.Namespace], dict[str, object]], text: str) -> Any:
    """A command on a cohort that is there."""
    sub = names.add_parser(name, help=text, description=text)
    sub.set_defaults(run=run)
    sub.add_argument("cohort", type=Path, metavar="DIR", help="cohort (docs/COHORTS.md)")
    sub.add_argument("--quiet", action="store_true", help="no progress")
    return sub


def _check(args: argparse.Namespace) -> dict[str, object]:
    cohort = Cohort.read(args.cohort)
    with bars(args.quiet) as shown:
        found = check_cohort(cohort, not args.quick, lambda stage, share: shown.step(stage, 100 * share, 100))
        for line in found.sentences():
            shown.line(line)
        for offer in found.offers():
            shown.line(f"can be made: {offer}")
    if args.out is not None:
        write_json(found.to_json(), args.out)
    serve = {part: len(found.serving(part)) for part in SERVES}
    written = {} if args.out is None else {"written": str(args.out)}
    return {"patients": len(found.patients), "serve": serve, "lack": found.to_json()["lack"], **written}


def _page(args: argparse.Namespace) -> dict[str, object]:
    cohort = Cohort.read(args.cohort)
    with bars(args.quiet) as shown:
        found = check_cohort(cohort, not args.quick, lambda stage, share: shown.step(stage, 100 * share, 100))
    told = write_cohort_page(cohort, args.out, found)
    return {"page": str(args.out), "json": str(args.out.with_suffix(".json")), "flow": told["flow"]}


def _split(args: argparse.Namespace) -> dict[str, object]:
    cohort, path = Cohort.read(args.cohort), args.out or args.cohort / FILE
    if path.is_file():
        former = read_splits(path)
        if (former.seed, former.validation_share, former.test_share) != (args.seed, args.validation, args.test):
            raise CohortError(
                what="The splits are written already, with another seed or other shares",
                given=f"{path}: seed {former.seed}, {former.validation_share:g} for validation, "
                f"{former.test_share:g} for the test",
                remedy="Keep them: who was tested on must stay so. For others give another file with --out",
            )
        splits, path = splits_of(cohort, path)
    else:
        splits = make_splits(cohort.rows, args.seed, args.validation, args.test)
        splits.write(path)
    return {"written": str(path), **{side: len(splits.part(side)) for side in PARTS}, "strata": splits.strata}


def _import(args: argparse.Namespace) -> dict[str, object]:
    settings = ImportSettings(args.layout, args.grid, args.all_phases, args.clinical, args.key_file)
    with bars(args.quiet) as shown:
        cohort = import_cohort(args.root, args.out, settings, shown.step, shown.line)
    return {
        "cohort": str(args.out),
        "patients": len(cohort.rows),
        "with_a_scan_after": sum(row.has_after is True for row in cohort.rows),
        "left_out": len(cohort.manifest["left_out"]),
        "clinical_notes": list(cohort.manifest.get("clinical_notes", [])),
        "quality_page": str(args.out / QUALITY_PAGE),
        "manifest": str(args.out / MANIFEST),
    }


def _findings(args: argparse.Namespace) -> dict[str, object]:
    cohort = Cohort.read(args.cohort)
    rows: list[dict[str, Any]] = []
    whole: dict[str, Any] = {}
    with bars(args.quiet) as shown:
        for n, patient in enumerate(cohort.rows):
            shown.step("patients", n, len(cohort.rows))
            case = cohort.case(patient.id)
            pairs = (("before", case.before, case.before_labels), ("after", case.after, case.after_labels))
            for when, ct, labels in pairs:
                if ct is None or labels is None:
                    continue
                found = measure(ct, labels, phase=phase_of(ct))
                rows += [{"patient": patient.id, "when": when, **row} for row in findings_rows(found)]
                whole.setdefault(patient.id, {})[when] = found
        shown.step("patients", len(cohort.rows), len(cohort.rows))
    write_json(whole, args.out / "findings.json")
    write_csv(["patient", "when", *FIELDS], rows, args.out / "findings.csv")
    sys.stderr.write(findings_table(rows[:20]) + "\n")
    return {"patients_with_masks": len(whole), "lesions": len(rows), "table": str(args.out / "findings.csv")}


def main(argv: list[str] | None = None) -> int:
    """Run; a summary as JSON goes to standard output."""
    return run_with_summary(_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
