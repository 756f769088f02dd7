"""`python -m MeWMLib.cohorts NAME`: import, download or measure real patients. `mewm cohort` starts this."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from MeWMLib.cohorts import download as idc
from MeWMLib.cohorts.dicom_import import LAYOUTS, ImportSettings, import_cohort
from MeWMLib.cohorts.dicom_patient import GRIDS
from MeWMLib.cohorts.layout import MANIFEST, Cohort
from MeWMLib.cohorts.quality_page import QUALITY_PAGE
from MeWMLib.core.errors import CancelledError, CohortError, MeWMError
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.core.terminal import agreed, bars
from MeWMLib.perception.findings import measure
from MeWMLib.perception.findings_table import FIELDS, findings_rows, findings_table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mewm cohort", description="Import, download or measure real patients.")
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
    text = "download a public collection from the NCI Imaging Data Commons"
    sub = command("download", _download, text, "folder; a download that was stopped continues there")
    sub.add_argument("collection", choices=tuple(idc.COLLECTIONS))
    sub.add_argument("--patients", default="", metavar="A,B", help="only these")
    sub.add_argument("--program-masks", action="store_true", help="also masks that were drawn by programs")
    sub.add_argument("--yes", action="store_true", help="start without being asked")
    sub.add_argument("--verify", action="store_true", help="compare the files with their checksums, fetch nothing")
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
        "quality_page": str(args.out / QUALITY_PAGE),
        "manifest": str(args.out / MANIFEST),
    }


def _download(args: argparse.Namespace) -> dict[str, object]:
    with bars(args.quiet) as shown:
        if args.verify:
            changed = idc.verify(args.out, args.collection, shown.line)
            return {"folder": str(args.out), "changed": changed}
    names = [name.strip() for name in args.patients.split(",") if name.strip()]
    series = idc.select(idc.catalogue(args.collection), names, args.program_masks)
    size = sum(one.size_mb for one in series) / 1000
    licence = ", ".join(sorted({one.licence for one in series}))
    patients = len({one.patient for one in series})
    sys.stderr.write(
        f"{args.collection}: {patients} patients, {len(series)} series, {size:.1f} GB, licence {licence}\n"
        f"Cite: {idc.COLLECTIONS[args.collection][1]}\n"
    )
    if not args.yes and not agreed("Download it?"):
        raise CancelledError(what="Nothing was downloaded", remedy="Add --yes to start")
    with bars(args.quiet) as shown:
        failed = idc.download(
            args.collection,
            series,
            args.out,
            idc.idc_transfer(),
            lambda done, total, text: shown.step("megabytes", done, total, text),
            shown.line,
        )
    if failed:
        raise CohortError(
            what=f"{len(failed)} of {len(series)} series did not arrive complete",
            given=str(args.out),
            remedy="Run the command once more; series that arrived are not fetched again",
        )
    return {"folder": str(args.out), "series": len(series), "gigabytes": round(size, 1), "licence": licence}


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
                found = measure(ct, labels)
                rows += [{"patient": patient.id, "when": when, **row} for row in findings_rows(found)]
                whole.setdefault(patient.id, {})[when] = found
        shown.step("patients", len(cohort.rows), len(cohort.rows))
    write_json(whole, args.out / "findings.json")
    with atomic_path(args.out / "findings.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["patient", "when", *FIELDS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    sys.stderr.write(findings_table(rows[:20]) + "\n")
    return {"patients_with_masks": len(whole), "lesions": len(rows), "table": str(args.out / "findings.csv")}


def main(argv: list[str] | None = None) -> int:
    """Run; a summary as JSON goes to standard output."""
    args = _parser().parse_args(argv)
    try:
        summary = args.run(args)
    except MeWMError as error:
        sys.stderr.write(f"\n{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; finished patients are kept.\n")
        return 130
    sys.stdout.write(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
