"""`python -m MeWMLib.lab.synthetic NAME`: write synthetic patients or ask one; `mewm cohort` starts this."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core.errors import InputError
from MeWMLib.core.io import parse_label_values, read_labels, read_volume, write_volume
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.terminal import run_with_summary
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.synthetic.plant import NOTICE as PLANTED_NOTICE
from MeWMLib.lab.synthetic.plant import PlantSettings, plant, planted_counterfactual
from MeWMLib.lab.synthetic.planted import KNOWN_PHASES
from MeWMLib.lab.synthetic.write import NOTICE, CohortSettings, counterfactual, synthesize


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
    say = None if args.quiet else _say
    if args.ct is None:
        settings = CohortSettings(args.split, args.seed, args.n, spacing(args.spacing or "2.5,1.25,1.25"), args.workers)
        cohort, notice = synthesize(args.out, settings, say), NOTICE
    else:
        ct, labels = _real(args)
        chosen = PlantSettings(args.split, args.seed, args.n, args.phase, args.workers)
        cohort, notice = plant(args.out, ct, labels, chosen, say), PLANTED_NOTICE
    return {"cohort": str(args.out), "patients": len(cohort.rows), "notice": notice}


def _real(args: argparse.Namespace) -> tuple[Volume, LabelMap]:
    """The real CT and its labels."""
    if args.spacing is not None:
        raise InputError(
            what="Tumours are planted on the grid of the CT", given=f"--spacing {args.spacing}", remedy="Leave it out"
        )
    if args.ct.startswith("sample:"):
        sample = load_sample(args.ct.partition(":")[2])
        return sample.ct, sample.labels
    if args.labels is None:
        raise InputError(
            what="The liver must be known to plant tumours in it", given="--ct without --labels",
            remedy="Give --labels FILE with 1 for the liver, as `mewm segment` writes it",
        )  # fmt: skip
    ct = read_volume(Path(args.ct))
    return ct, read_labels(Path(args.labels), ct.geometry, values=parse_label_values(args.label_values))


def _counterfactual(args: argparse.Namespace) -> dict[str, object]:
    protocol = Protocol.parse(args.protocol)
    cohort = Cohort.read(args.cohort)
    planted = bool(cohort.manifest.get("planted"))
    ask, notice = (planted_counterfactual, PLANTED_NOTICE) if planted else (counterfactual, NOTICE)
    volume, risk = ask(cohort, args.patient, protocol)
    write_volume(volume, args.out)
    return {"file": str(args.out), "protocol": protocol.text, "true_log_risk": risk, "notice": notice}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mewm cohort", description="Write synthetic patients, or ask one for another outcome."
    )
    names = parser.add_subparsers(dest="name", required=True)
    text = "write synthetic patients: both scans, labels, protocol and survival (docs/COHORTS.md)"
    sub = names.add_parser("synthesize", help=text, description=text)
    sub.set_defaults(run=_synthesize)
    sub.add_argument("--n", type=int, default=60, metavar="N", help="how many patients (default 60)")
    sub.add_argument("--seed", type=int, default=0, metavar="S", help="number of the first in its split (default 0)")
    sub.add_argument("--split", choices=tuple(SPLITS), default="test", help="nothing is ever trained on test (default)")
    sub.add_argument("--spacing", metavar="K,J,I", help="voxel size in mm (default 2.5,1.25,1.25)")
    sub.add_argument("--ct", metavar="FILE", help="a real CT in whose liver the tumours are planted, or sample:NAME")
    sub.add_argument("--labels", metavar="FILE", help="liver and lesions on it; lesions are painted over")
    sub.add_argument("--label-values", default="1=liver,2=tumour", help="meaning of the values")
    sub.add_argument("--phase", choices=KNOWN_PHASES, help="contrast phase of the CT, where its file does not say")
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
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run; a summary as JSON goes to standard output."""
    return run_with_summary(_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
