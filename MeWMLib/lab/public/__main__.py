"""`python -m MeWMLib.lab.public download COLLECTION`: fetch a public collection. `mewm cohort download` starts this."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MeWMLib.core.errors import CancelledError, CohortError
from MeWMLib.core.terminal import agreed, bars, run_with_summary
from MeWMLib.lab.public import download as idc


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mewm cohort", description="Download a public collection.")
    text = "download a public collection from the NCI Imaging Data Commons"
    sub = parser.add_subparsers(dest="name", required=True).add_parser("download", help=text, description=text)
    sub.set_defaults(run=_download)
    sub.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder; a download that was stopped continues there"
    )
    sub.add_argument("--quiet", action="store_true", help="no progress")
    sub.add_argument("collection", choices=tuple(idc.COLLECTIONS))
    sub.add_argument("--patients", default="", metavar="A,B", help="only these")
    sub.add_argument("--program-masks", action="store_true", help="also masks that were drawn by programs")
    sub.add_argument("--yes", action="store_true", help="start without being asked")
    sub.add_argument("--verify", action="store_true", help="compare the files with their checksums, fetch nothing")
    return parser


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


def main(argv: list[str] | None = None) -> int:
    """Run; a summary as JSON goes to standard output."""
    return run_with_summary(_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
