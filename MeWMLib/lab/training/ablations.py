"""`mewm train ablations`: the rows that need weights of their own, all trained with one reduced budget.

Every row is the latent model of `mewm train dynamics --model latent`, from random weights, with the same patients,
seed, batches and number of steps; what differs is one entry of `CHANGES`. Whatever the budget lacks, it lacks in all
of them: a row is to be held against the full one of the same budget (`FULL`), and not against a bundle that was trained
for longer.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

import MeWMLib
from MeWMLib.core.bundle import Bundle, write_training
from MeWMLib.core.bundles import PARTS, find_bundle, write_part
from MeWMLib.core.errors import BundleError, InputError
from MeWMLib.core.io import write_json
from MeWMLib.core.records import dump_json, parse_json, read_json
from MeWMLib.core.trained_on import Training
from MeWMLib.lab.evaluation.baselines import FULL
from MeWMLib.lab.evaluation.metrics import exact, jsonable, markdown, shown
from MeWMLib.lab.reports import sentence_encoder
from MeWMLib.lab.training import dynamics
from MeWMLib.lab.training.assemble import assemble
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.dynamics_settings import DynamicsTraining, read_settings
from MeWMLib.lab.training.prepare import SCANS
from MeWMLib.lab.training.segmenter_commands import codec_of

#: Row to the settings in which it differs from the full one, or to the file of `Resources/Configs` that holds them.
CHANGES: Mapping[str, Mapping[str, Any] | str] = {
    FULL: {},
    "no_ccl": {"contrastive_weight": 0.0},
    "no_attenuation": {"attenuation": False},
    "no_text": {"text": False},
    "action_blind": {"action_blind": True},
    "difftumor": "difftumor.json",
    "textomorph": "textomorph.json",
}
BUDGET = "budget.json"
#: Steps of the full row by which minutes become steps.
PROBE = 5
#: Figures of a training, by the names that `dynamics.train` gives them.
_FIGURES = {
    "validation": "held_out_loss", "validation_shuffled": "held_out_loss_shuffled",
    "head_viable_r2": "head_viable_r2", "head_viable_rank": "head_viable_rank",
    "steps": "steps", "seconds": "seconds", "processor_seconds": "processor_seconds",
}  # fmt: skip
_COLUMNS = {
    "steps": ".0f", "held_out_loss": ".4f", "held_out_loss_shuffled": ".4f", "head_viable_r2": ".2f",
    "seconds": ".0f", "processor_seconds": ".0f",
}  # fmt: skip
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Budget:
    """What all rows share.

    Attributes:
        settings: of the full row.
        patients: of each folder of the cohort, how many, and under "sha256" a checksum over names and sizes of files.
        codec: checksum of the autoencoder that encoded them.
        minutes: what the number of steps was chosen by; 0 where it was given.
    """

    settings: DynamicsTraining
    patients: Mapping[str, Any]
    codec: str
    minutes: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        plain: dict[str, Any] = parse_json(dump_json(asdict(self)))
        return plain

    @property
    def words(self) -> str:
        """In one sentence without its end."""
        s, count = self.settings, self.patients
        drawn = f"{count['train']} drawn patients" + (f" and {count['scans']} scans" if count["scans"] else "")
        head = f", {s.head_steps} steps of the response head" if s.head_steps else ""
        return (
            f"{s.steps} steps of {s.batch * s.accumulate} outcomes of {s.pairs * s.accumulate} patients{head}; "
            f"{drawn}, seed {s.seed}"
        )


def changes_of(row: str) -> dict[str, Any]:
    """Settings in which a row differs from the full one.

    Raises:
        UnreadableFileError, InputError: its file is missing, or no file of settings.
    """
    change = CHANGES[row]
    if not isinstance(change, str):
        return dict(change)
    path = _config(change)
    read = read_settings(path)
    return {name: getattr(read, name) for name in read_json(path)}


def _config(name: str) -> Path:
    """A file of `Resources/Configs`, of an installed package or of a checkout."""
    package = Path(MeWMLib.__file__).resolve().parent
    folders = [base / "Resources" / "Configs" for base in (package, package.parent)]
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[-1] / name)


def require_full(settings: DynamicsTraining) -> None:
    """Refuse settings that are no full model's, or that let rows end at different steps.

    Raises:
        InputError: see above; it names the setting.
    """
    usual = DynamicsTraining()
    wrong = [n for n in ("action_blind", "reports", "text", "attenuation", "response", "fate", "start", "minutes")
             if getattr(settings, n) != getattr(usual, n)]  # fmt: skip
    wrong += [n for n in ("contrastive_weight", "response_weight") if getattr(settings, n) == 0]
    if wrong:
        raise InputError(
            what="The settings of the full row leave a part out, or do not give every row the same steps",
            given=", ".join(f"{name} = {getattr(settings, name)}" for name in wrong),
            remedy="Take these settings out of --config; `mewm train dynamics` trains single rows",
        )


def patients_of(cohort: Path) -> dict[str, Any]:
    """How many patients each folder of a latent cohort holds, and a checksum over names and sizes of their files."""
    files = {name: sorted((cohort / name).glob("*.npz")) for name in ("train", "validation", *SCANS.values())}
    listed = [[name, path.name, path.stat().st_size] for name, paths in files.items() for path in paths]
    checksum = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
    return {name: len(paths) for name, paths in files.items()} | {"sha256": checksum}


def train_ablations(
    bundle: Path,
    cohort: Path,
    work: Path,
    out: Path,
    settings: DynamicsTraining,
    rows: Sequence[str] = tuple(CHANGES),
    minutes: float | None = None,
    device: torch.device | None = None,
    command: str = "mewm train ablations",
    tell: Tell = lambda stage, share: None,
) -> str:
    """Train rows one after the other; what is finished stays, and a row that was stopped goes on from its checkpoint.

    Args:
        bundle: with the autoencoder by which the cohort was encoded; its other parts are copied into each row's.
        cohort: of `mewm train cohort`.
        work: a folder for the checkpoint and curve of each row.
        out: a bundle for each row, and `budget.json`.
        settings: of the full row.
        rows: of `CHANGES`.
        minutes: choose the steps so that all of `rows` take about so long; None takes those of `settings`.
        device: where it is computed; the CPU if left out.
        command: as it was typed, without folders.
        tell: told row and step, and the finished share of the row.

    Returns:
        The budget and a table of the rows that are finished, in Markdown.

    Raises:
        InputError: settings that are no full model's, or a folder that holds rows of another budget.
        BundleError: no autoencoder.
        DependencyError: textomorph without a sentence encoder.
    """
    require_full(settings)
    device = device or torch.device("cpu")
    source, codec = find_bundle(bundle.resolve(), require=("autoencoder",)), codec_of(bundle)
    told = _read(out / BUDGET)
    if minutes is not None:
        steps = told["budget"]["settings"]["steps"] if told else _steps_within(
            minutes, len(rows), cohort, work, settings, device, codec
        )  # fmt: skip
        settings = replace(settings, steps=steps)
    budget = Budget(settings, patients_of(cohort), source.part_sha256["autoencoder"], minutes or 0.0)
    _claim(told, budget, out)
    told = told or _told(budget, command, device)
    waiting = [row for row in CHANGES if row in rows and not _finished(out / row, told["bundles"].get(row))]
    if any(changes_of(row).get("reports") for row in waiting):
        sentence_encoder()  # fails before the first row is trained, not after the sixth
    write_json(told, out / BUDGET)
    for number, row in enumerate(waiting):
        _claim(_read(work / row / BUDGET), replace(budget, minutes=0.0), work / row, row)
        write_json({"budget": replace(budget, minutes=0.0).to_json(), "row": row}, work / row / BUDGET)
        own = replace(settings, **changes_of(row))
        place = f"{row} ({number + 1} of {len(waiting)})"

        def shown_as(stage: str, share: float, place: str = place) -> None:
            tell(f"{place}, {stage.partition(', ')[2] or stage}", share)

        model, figures = dynamics.train(cohort, work / row, own, shown_as, Ranks(device=device), codec)
        _claim({"budget": replace(budget, patients=patients_of(cohort)).to_json()}, budget, cohort)
        made = _write_bundle(source, out / row, row, model, budget)
        told["rows"][f"training.{row}"] = jsonable(_figures(figures, model))
        told["changes"][row] = parse_json(dump_json(changes_of(row)))
        told["bundles"][row] = made.sha256
        write_json(told, out / BUDGET)
    return table_of(told, budget)


def table_of(told: Mapping[str, Any], budget: Budget) -> str:
    """The budget in words, and what is finished as a table in Markdown."""
    lines = []
    for row in CHANGES:
        figures = told["rows"].get(f"training.{row}")
        if figures is not None:
            differs = ", ".join(f"{name} {json.dumps(value)}" for name, value in told["changes"][row].items())
            known = {name for name, figure in figures.items() if figure["mean"] is not None}
            cells = [shown(figures[m], form) if m in known else "" for m, form in _COLUMNS.items()]
            lines.append([row, differs or "nothing", *cells])
    header = ["row", "what differs", *(name.replace("_", " ") for name in _COLUMNS)]
    return f"The budget of every row: {budget.words}.\n\n{markdown(header, lines)}"


def _steps_within(
    minutes: float, rows: int, cohort: Path, work: Path, settings: DynamicsTraining, device: torch.device, codec: Any
) -> int:
    """Steps of each of some rows, by the seconds of a few steps of the full one; the response head is not counted."""
    if minutes <= 0:
        raise InputError(what="There is no time to train in", given=f"--minutes {minutes:g}", remedy="Give more than 0")
    place = work / "probe"
    shutil.rmtree(place, ignore_errors=True)
    short = replace(settings, steps=PROBE, head_steps=0)
    _, figures = dynamics.train(cohort, place, short, None, Ranks(device=device), codec)
    shutil.rmtree(place, ignore_errors=True)
    return max(1, int(60 * minutes * PROBE / (rows * figures["seconds"])))


def _told(budget: Budget, command: str, device: torch.device) -> dict[str, Any]:
    """`budget.json` before the first row, in the form of the results that are kept in Resources/Results."""
    settings = budget.settings
    return {
        "cohort": f"drawn patients of `mewm train cohort`; {budget.words}",
        "seed": settings.seed,
        "stamp": {
            "bundle": None,
            "command": command,
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "mewm": MeWMLib.__version__,
            "seed": settings.seed,
            "device": device.type,
            "patients": budget.patients["validation"],
            "notes": {"bundle": "each row has a bundle of its own; their checksums are under bundles"},
        },
        "budget": budget.to_json(),
        "changes": {},
        "bundles": {},
        "rows": {},
    }


def _read(path: Path) -> dict[str, Any]:
    """A budget that was written before; empty where there is none."""
    if not path.exists():
        return {}
    found: dict[str, Any] = read_json(path, "The budget of a training", require={"budget": dict})
    return found


def _claim(told: Mapping[str, Any], budget: Budget, folder: Path, row: str = "") -> None:
    """Refuse a folder with rows of another budget, or with another row.

    Raises:
        InputError: it names what differs.
    """
    if not told:
        return
    known, asked = told["budget"], budget.to_json()
    # minutes count where steps follow from them
    names = ["patients", "codec", *(["minutes"] if budget.minutes else [])]
    differ = [f"{n} {known.get(n)} there, {asked[n]} here" for n in names if known.get(n) != asked[n]]
    there, here = known.get("settings", {}), asked["settings"]
    differ += [f"{name} {there.get(name)} there, {value} here" for name, value in here.items()
               if there.get(name) != value]  # fmt: skip
    if row and told.get("row", row) != row:
        differ.append(f"row {told['row']} there, {row} here")
    if differ:
        raise InputError(
            what="Rows of another budget, or other patients: such rows must not stand beside one another",
            given=f"{folder}: {'; '.join(differ)[:600]}",
            remedy="Give the settings and the cohort that the first rows were trained with, or new folders",
        )


def _finished(folder: Path, checksum: str | None) -> bool:
    """Whether a row's bundle is the one that `budget.json` names."""
    try:
        return checksum is not None and find_bundle(folder.resolve(), require=("dynamics",)).sha256 == checksum
    except BundleError:
        return False


def _figures(figures: Mapping[str, float], model: dynamics.TrainedDenoiser) -> dict[str, dict[str, float]]:
    found = {name: exact(float(figures[key])) for key, name in _FIGURES.items() if key in figures}
    return found | {"weights": exact(float(sum(p.numel() for p in model.model.parameters())))}


def _write_bundle(source: Bundle, folder: Path, row: str, model: dynamics.TrainedDenoiser, budget: Budget) -> Bundle:
    """The row's network with the other parts of the bundle, bit for bit, and what it was trained on."""
    parts = [name for name in PARTS if name in source.manifest.parts and name != "dynamics"]
    small = [name for name in parts if _in_eight_bits(source.path / source.manifest.parts[name].file)]
    says = f"Row {row} of `mewm train ablations`, a reduced budget: {budget.words}. Research use only."
    write_part(folder, "dynamics", model.part_config(), model.tensors(), description=says)
    assemble(folder, dict.fromkeys(parts, source.path), small)
    return write_training(folder, Training(synthetic_patients=int(budget.patients["train"])))


def _in_eight_bits(path: Path) -> bool:
    with safe_open(path, "numpy") as opened:
        return any(opened.get_slice(name).get_dtype() == "I8" for name in opened.keys())  # noqa: SIM118
