"""The dynamics part of a bundle as a map network: trained on drawn patients, or fine-tuned on a hospital's pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from MeWMLib.core.bundle import write_training
from MeWMLib.core.bundles import MANIFEST, Bundle, find_bundle, write_part
from MeWMLib.core.errors import BundleError, CohortError, InputError, MeWMError
from MeWMLib.core.io import atomic_path
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.map_model import is_maps, network_from_part, network_part
from MeWMLib.dynamics.map_network import MapConfig, MapNetwork
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_batches import require_patients
from MeWMLib.lab.training.map_finetune import RUN, fine_tune
from MeWMLib.lab.training.map_head import trained_head
from MeWMLib.lab.training.map_settings import FineTuning, MapTraining
from MeWMLib.lab.training.maps import train_maps
from MeWMLib.lab.training.pair_cohort import SESSION, VALIDATION, encode_pairs, load_pair, read_cohort, split
from MeWMLib.perception.registration import Registration

#: Folder below that of the checkpoints for the arrays of real pairs.
PAIRS = "pairs"
_PART = "dynamics"
Tell = Callable[[str, float], None]


def train_into(
    bundle: Path,
    cohort: Path,
    work: Path,
    settings: MapTraining,
    tell: Tell | None = None,
    start: str | None = None,
    ranks: Ranks | None = None,
) -> dict[str, float]:
    """Train the response head and the map network on a cohort, and write them as the dynamics part of a bundle.

    Args:
        bundle: folder that is written to.
        cohort: of `map_cohort.prepare_split`.
        work: folder of the checkpoints and the curve; a run resumes from it.
        tell: of this process.
        start: bundle whose map network is trained on, and whose head is kept if its spread is known.
        ranks: this process among those that train together; rank 0 trains the head and writes.

    Returns:
        Figures of the head and of the network; empty for ranks that do not write.

    Raises:
        InputError, UnreadableFileError, BundleError, DeviceError: see `train_maps`, `trained_head` and `started`.
    """
    ranks = ranks or Ranks()
    opened = None if start is None else started(start)
    network = None if opened is None else opened[1]
    head = None
    if ranks.first and (network is None or not network.config.response_spread):
        sizes = _sizes(settings) if network is None else network
        head = trained_head(cohort, work, sizes, settings, ranks.device, tell)
    found, figures = train_maps(cohort, work, settings, tell, network, ranks)
    if not ranks.first:
        return {}
    if head is not None:
        head.put_into(found)
        figures = head.figures | figures
    if opened is not None:
        take_over(opened[0], bundle, _PART)
    write_part(bundle, _PART, *network_part(found))
    return figures


def tune_into(
    bundle: Path,
    pairs: Path,
    cohort: Path,
    work: Path,
    start: str,
    settings: FineTuning,
    data: Sequence[Path] = (),
    held_out: Sequence[str] | float = VALIDATION,
    device: torch.device | None = None,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Go on with a bundle's map network on a hospital's list of pairs; see `tune_on`.

    Args:
        pairs: folder with the list of pairs (`pair_cohort.read_cohort`).
        data: further folders of the pairs' files.
        held_out: names of patients, or the share of them, for validation; see `held_out_pairs`.

    Raises:
        InputError: patients who are for judging only, or not in the list; else as `tune_on`.
        MeWMError: as `tune_on`.
    """
    found = read_cohort(pairs, data)
    sides = held_out_pairs([pair.patient for pair in found], held_out)
    return tune_on(
        bundle, found, sides, cohort, work, start, settings, tell, Ranks(device=device or torch.device("cpu"))
    )


def tune_on(
    bundle: Path,
    pairs: Sequence[PairFiles],
    sides: tuple[Sequence[str], Sequence[str]],
    drawn: Path,
    work: Path,
    start: str,
    settings: FineTuning,
    tell: Tell | None = None,
    ranks: Ranks | None = None,
    registration: Registration | None = None,
    leave_out: Callable[[str, MeWMError], None] | None = None,
) -> dict[str, Any]:
    """Go on with a bundle's map network on real pairs, and write it as the dynamics part of another bundle.

    The figures, who was held out, and the settings are written into `work` beside the checkpoint.

    Args:
        bundle: folder that is written to; a new one takes over the other parts of the start.
        pairs: none of them for judging only.
        sides: names for training and for validation.
        drawn: folder with `train/` of drawn patients, which stay in half of every batch.
        work: folder of the checkpoint, the curve and the arrays of the pairs.
        start: bundle to begin with.
        ranks: this process among those that train together; rank 0 registers and writes.
        registration: its settings.
        leave_out: told of a pair that cannot be used; None raises what is wrong with it.

    Returns:
        `trained` and `held_out` names, and the figures of `fine_tune`; nothing for ranks that do not write.

    Raises:
        InputError: no drawn patients; a bundle that is the start; a checkpoint of another run.
        BundleError: see `started`.
        MeWMError: as `encode_pairs`.
    """
    ranks = ranks or Ranks()
    former, network = started(start)
    if bundle.resolve() == former.path.resolve():
        raise InputError(
            what="The fine-tuned network would replace the one that it starts from",
            given=str(bundle),
            remedy="Give another folder with --bundle; a stopped run has to find its start unchanged",
        )
    require_patients(drawn / "train")  # before hours of registration
    train, kept = (list(side) for side in sides)
    files: dict[str, Path] = {}
    if ranks.first:
        files = encode_pairs(pairs, work / PAIRS, settings=registration, on_step=tell, leave_out=leave_out)
    files = ranks.from_first(files)
    train, kept = ([name for name in side if name in files] for side in (train, kept))
    arrays = {name: load_pair(path) for name, path in files.items()}
    found, figures = fine_tune(
        network,
        {name: arrays[name] for name in train},
        {name: arrays[name] for name in kept},
        drawn / "train",
        settings,
        work,
        tell,
        ranks=ranks,
    )
    if not ranks.first:
        return {}
    take_over(former, bundle, _PART)
    write_part(bundle, _PART, *network_part(found))
    told = {"trained": train, "held_out": kept, **figures}
    record = {**told, "start": former.name, "start_sha256": former.sha256, "settings": asdict(settings)}
    with atomic_path(work / f"{RUN}.json") as part:
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return told


def held_out_pairs(names: Sequence[str], held_out: Sequence[str] | float) -> tuple[list[str], list[str]]:
    """Names for training and for validation; all sessions of a person are on one side.

    Args:
        names: of the list.
        held_out: persons, or sessions whose persons are meant; or the share of persons, who follow from their names.

    Raises:
        InputError: a name that is not in the list, or a share that is none.
        CohortError: nobody is left to train on.
    """
    if isinstance(held_out, int | float):
        if not 0 <= held_out < 1:
            raise InputError(
                what="This share of patients cannot be held out",
                given=str(held_out),
                remedy="Use 0 for nobody, or a share below 1",
            )
        return split(names, held_out)
    known = {name.split(SESSION)[0] for name in names}
    asked = {name.split(SESSION)[0] for name in held_out}
    if unknown := sorted({one for one in held_out if one not in names and one not in known}):
        raise InputError(
            what="A patient who is to be held out is not in the list",
            given=", ".join(unknown),
            remedy=f"Use names of the list: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}",
        )
    kept = [name for name in names if name.split(SESSION)[0] in asked]
    train = [name for name in names if name not in kept]
    if not train:
        raise CohortError(
            what="No patient of the cohort is left to train on",
            given=f"{len(kept)} held out",
            remedy="Hold out fewer, or add patients",
        )
    return train, kept


def started(bundle: str) -> tuple[Bundle, MapNetwork]:
    """A bundle and its map network.

    Raises:
        BundleError: no such bundle, its dynamics model is the latent one, or it knows other agents than drawn patients
            are encoded for.
    """
    folder = Path(bundle)
    opened = find_bundle(folder.resolve() if folder.is_dir() else bundle, require=(_PART,))
    config, tensors = opened.part(_PART)
    if not is_maps(config):
        raise BundleError(
            what="The dynamics model of the bundle to start from is a latent one, not one on coarse maps",
            given=bundle,
            remedy="Start from a bundle with a map network, or train the latent model with --model latent",
        )
    network = network_from_part(config, tensors)
    if list(network.config.agents) != known_agents():
        raise BundleError(
            what="The network to start from knows other agents than the drawn patients were given",
            given=", ".join(network.config.agents),
            remedy="Train a new network with `mewm train dynamics` without --start",
        )
    return opened, network


@kept_torch_state()
def _sizes(settings: MapTraining) -> MapNetwork:
    return MapNetwork(MapConfig(widths=settings.widths, condition=settings.condition))


def take_over(former: Bundle, bundle: Path, but: str) -> None:
    """Give a new bundle the other parts of the one that was started from, and what is said of them.

    Args:
        former: the start.
        bundle: folder that is written to; one that is a bundle already keeps its parts.
        but: the part that is trained.
    """
    if (bundle / MANIFEST).is_file():
        return
    for name in former.manifest.parts:
        if name != but:
            write_part(bundle, name, *former.part(name))
    if former.manifest.training is not None and (bundle / MANIFEST).is_file():
        write_training(bundle, former.manifest.training)
