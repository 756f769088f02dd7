"""`python -m MeWMLib.cohorts NAME`: import or measure real patients. `mewm cohort` starts this."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.dicom_import import LAYOUTS, ImportSettings, import_cohort
from MeWMLib.cohorts.dicom_patient import GRIDS
from MeWMLib.cohorts.layout import MANIFEST, Cohort
from MeWMLib.cohorts.quality_page import QUALITY_PAGE
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
    return parser


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
