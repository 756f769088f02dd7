"""`python -m MeWMLib.lab.synthetic NAME`: write synthetic patients or ask one; `mewm cohort` starts this."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core.errors import InputError
from MeWMLib.core.io import parse_label_values, read_labels, read_volume, write_volume
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.program import Part, Tell, run_program
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.synthetic.plant import NOTICE as PLANTED_NOTICE
from MeWMLib.lab.synthetic.plant import PlantSettings, plant, planted_counterfactual
from MeWMLib.lab.synthetic.planted import KNOWN_PHASES
from MeWMLib.lab.synthetic.write import NOTICE, CohortSettings, counterfactual, synthesize


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


def _synthesize(args: argparse.Namespace, tell: Tell) -> dict[str, object]:
    if args.ct is None:
        size = spacing(args.spacing or "2.5,1.25,1.25")
        settings = CohortSettings(args.split, args.seed, args.n, size, workers=args.workers)
        cohort, notice = synthesize(args.out, settings, tell), NOTICE
    else:
        ct, labels = _real(args)
        chosen = PlantSettings(args.split, args.seed, args.n, args.phase, workers=args.workers)
        cohort, notice = plant(args.out, ct, labels, chosen, tell), PLANTED_NOTICE
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


def _counterfactual(args: argparse.Namespace, tell: Tell) -> dict[str, object]:
    protocol = Protocol.parse(args.protocol)
    cohort = Cohort.read(args.cohort)
    planted = bool(cohort.manifest.get("planted"))
    ask, notice = (planted_counterfactual, PLANTED_NOTICE) if planted else (counterfactual, NOTICE)
    volume, risk = ask(cohort, args.patient, protocol)
    write_volume(volume, args.out)
    return {"file": str(args.out), "protocol": protocol.text, "true_log_risk": risk, "notice": notice}


def _file(metavar: str, text: str) -> dict[str, Any]:
    return {"type": Path, "required": True, "metavar": metavar, "help": text}


PARTS: dict[str, Part] = {
    "synthesize": (
        _synthesize,
        "write synthetic patients: both scans, labels, protocol and survival (docs/COHORTS.md)",
        {
            "--n": {"type": int, "default": 60, "metavar": "N", "help": "how many patients (default 60)"},
            "--seed": {"type": int, "default": 0, "metavar": "S", "help": "number of the first in its split"},
            "--split": {"choices": tuple(SPLITS), "default": "test", "help": "no training uses test (the default)"},
            "--spacing": {"metavar": "K,J,I", "help": "voxel size in mm (default 2.5,1.25,1.25)"},
            "--ct": {"metavar": "FILE", "help": "a real CT to plant the tumours in, or sample:NAME"},
            "--labels": {"metavar": "FILE", "help": "liver and lesions on it; lesions are painted over"},
            "--label-values": {"default": "1=liver,2=tumour", "help": "meaning of the values"},
            "--phase": {"choices": KNOWN_PHASES, "help": "contrast phase of the CT, where its file does not say"},
            "--workers": {"type": int, "default": 1, "metavar": "N", "help": "processes (default 1)"},
            "--out": _file("DIR", "folder; a run that was stopped goes on there"),
            "--quiet": {"action": "store_true", "help": "no progress"},
        },
    ),
    "counterfactual": (
        _counterfactual,
        "write the CT of a synthetic patient after any protocol",
        {
            "--cohort": _file("DIR", "synthetic cohort"),
            "--patient": {"required": True, "metavar": "ID", "help": "column id of its patients.csv"},
            "--protocol": {"required": True, "metavar": "TEXT", "help": "agents with optional doses, joined by +"},
            "--out": _file("FILE", ".nrrd file to write"),
        },
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run; a summary as JSON goes to standard output."""
    return run_program("mewm cohort", "Write synthetic patients, or ask one for another outcome.", PARTS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
