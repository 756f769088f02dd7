"""`python -m MeWMLib.evaluation NAME`: one figure or table. `mewm evaluate` starts this."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MeWMLib.bundles import find_bundle
from MeWMLib.core.errors import MeWMError
from MeWMLib.evaluation.generation import evaluate_generation
from MeWMLib.evaluation.metrics import table, write_metrics


def _say(stage: str, fraction: float) -> None:
    sys.stderr.write(f"\r{stage}: {100 * fraction:5.1f} %")
    sys.stderr.flush()


def main(argv: list[str] | None = None) -> int:
    """Evaluate; the table goes to standard output, the files to --out."""
    parser = argparse.ArgumentParser(prog="mewm evaluate", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    sub = names.add_parser("generation", help="does the simulated CT answer to the action (synthetic test patients)")
    sub.add_argument("--bundle", help="name or folder; the default bundle if left out")
    sub.add_argument("--patients", type=int, default=40, help="how many patients of the test split")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", type=Path, required=True, help="folder for metrics.json and table.md")
    args = parser.parse_args(argv)
    try:
        rows = evaluate_generation(find_bundle(args.bundle), args.patients, args.seed, on_step=_say)
        write_metrics(args.out, f"synthetic world v1, {args.patients} test patients", args.seed, rows)
    except MeWMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write("\n" + table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
