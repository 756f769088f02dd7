"""`python -m MeWMLib.cohorts NAME`: write, import, download or ask a cohort. `mewm cohort` starts this."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from MeWMLib.cohorts import real_commands
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.synthetic.cases import SPLITS
from MeWMLib.cohorts.synthetic.write import NOTICE, CohortSettings, counterfactual, synthesize
from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.core.io import write_volume
from MeWMLib.core.protocol import Protocol


def _say(stage: str, fraction: float) -> None:
    sys.stderr.write(f"\r{stage}: {100 * fraction:5.1f} %")
    sys.stderr.flush()


def spacing(text: str) -> tuple[float, float, float]:
    """Read a voxel size such as 2.5,1.25,1.25 (k, j, i in mm).

    Raises:
        InputError: not three numbers.
    """
    try:
        k, j, i = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            what="The voxel size is not three numbers", given=text, remedy="Write it as 2.5,1.25,1.25"
        ) from error
    return k, j, i


def _synthesize(args: argparse.Namespace) -> dict[str, object]:
    settings = CohortSettings(args.split, args.seed, args.n, spacing(args.spacing), args.workers)
    cohort = synthesize(args.out, settings, None if args.quiet else _say)
    return {"cohort": str(args.out), "patients": len(cohort.rows), "notice": NOTICE}


def _counterfactual(args: argparse.Namespace) -> dict[str, object]:
    protocol = Protocol.parse(args.protocol)
    volume, risk = counterfactual(Cohort.read(args.cohort), args.patient, protocol)
    write_volume(volume, args.out)
    return {"file": str(args.out), "protocol": protocol.text, "true_log_risk": risk, "notice": NOTICE}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mewm cohort", description="Write, import, download or ask a cohort.")
    names = parser.add_subparsers(dest="name", required=True)
    text = "write synthetic patients: both scans, labels, protocol and survival (docs/COHORTS.md)"
    sub = names.add_parser("synthesize", help=text, description=text)
    sub.set_defaults(run=_synthesize)
    sub.add_argument("--n", type=int, default=60, metavar="N", help="how many patients (default 60)")
    sub.add_argument("--seed", type=int, default=0, metavar="S", help="number of the first in its split (default 0)")
    sub.add_argument("--split", choices=tuple(SPLITS), default="test", help="nothing is ever trained on test (default)")
    sub.add_argument("--spacing", default="2.5,1.25,1.25", metavar="K,J,I", help="voxel size in mm")
    sub.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    sub.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder; a run that was stopped goes on there"
    )
    sub.add_argument("--quiet", action="store_true", help="no progress")
    text = "write the CT of a synthetic patient after any protocol"
    sub = names.add_parser("counterfactual", help=text, description=text)
    sub.set_defaults(run=_counterfactual)
    sub.add_argument("--cohort", type=Path, required=True, metavar="DIR", help="synthetic cohort")
    sub.add_argument("--patient", required=True, metavar="ID", help="column id of its patients.csv")
    sub.add_argument("--protocol", required=True, metavar="TEXT", help="agents with optional doses, joined by +")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE", help=".nrrd file to write")
    real_commands.add(names)
    return parser


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
