"""A hospital's own pairs as training arrays: a folder with a list of pairs, each encoded once and kept.

The list has the columns of docs/JUDGE.md. Patients who are for judging are refused before any file of theirs is opened.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import CohortError, MeWMError, OutputError
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pairs import PairFiles, read_pairs
from MeWMLib.lab.training.map_pairs import encode_pair, pair_paths, refuse_judging
from MeWMLib.lab.training.prepare import save_case
from MeWMLib.perception.registration import Registration

#: The list in the folder of a cohort.
LIST = "pairs.csv"
#: Raised when what is measured changes, so that arrays that were kept before are made anew.
VERSION = 2
#: What parts the sessions of one person in the list: "P7/1" and "P7/2" are two of P7.
SESSION = "/"
#: Share of the persons that is kept for validation.
VALIDATION = 0.2


def read_cohort(folder: Path, data: Sequence[Path] = ()) -> list[PairFiles]:
    """The pairs of a folder.

    Args:
        folder: with `LIST`; its files lie below it.
        data: further folders in which files are looked for, before the folder itself.

    Raises:
        CohortError: the folder has no list.
        InputError: the list cannot be read, or names patients who are for judging only.
    """
    path = folder / LIST
    if not path.is_file():
        raise CohortError(
            what="The folder of pairs has no list of them",
            given=str(path),
            remedy=f"Write {LIST} with the columns of docs/JUDGE.md",
        )
    pairs = read_pairs(path, data)
    refuse_judging(pairs)
    return pairs


def encode_cohort(
    folder: Path,
    cache: Path,
    data: Sequence[Path] = (),
    agents: Sequence[str] | None = None,
    settings: Registration | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> dict[str, Path]:
    """Arrays of every pair of a folder; see `read_cohort` and `encode_pairs`."""
    return encode_pairs(read_cohort(folder, data), cache, agents, settings, on_step)


def encode_pairs(
    pairs: Sequence[PairFiles],
    cache: Path,
    agents: Sequence[str] | None = None,
    settings: Registration | None = None,
    on_step: Callable[[str, float], None] | None = None,
    leave_out: Callable[[str, MeWMError], None] | None = None,
) -> dict[str, Path]:
    """Arrays of pairs (`map_pairs.encode_pair`); those whose inputs are the same are kept.

    Args:
        pairs: none of them for judging only.
        cache: folder that the arrays are written to.
        agents: that the network knows; all of the vocabulary if left out.
        settings: of the registration.
        on_step: called after each pair with its name and the share that is done.
        leave_out: told of a pair that cannot be read, registered or measured, which is then left out; None raises.

    Returns:
        Name in the list to file.

    Raises:
        MeWMError: a patient for judging only, files that cannot be read or registered.
    """
    refuse_judging(pairs)
    known, how = list(known_agents() if agents is None else agents), settings or Registration()
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    for n, pair in enumerate(pairs):
        path = cache / f"{re.sub('[^A-Za-z0-9_-]', '_', pair.patient)}-{key_of(pair, known, how)[:16]}.npz"
        try:
            if not path.exists():
                save_case(path, encode_pair(PreparedPair.read(pair, how), known))
            found[pair.patient] = path
        except OutputError:
            raise
        except MeWMError as error:
            if leave_out is None:
                raise
            leave_out(pair.patient, error)
        if on_step is not None:
            on_step(pair.patient, (n + 1) / len(pairs))
    return found


def key_of(pair: PairFiles, agents: Sequence[str], settings: Registration) -> str:
    """A checksum of all that the arrays of a pair follow from: contents of its files, what was stated, settings."""
    stated = (
        pair.patient, pair.protocol.text, pair.recorded, pair.side, pair.side_stated, pair.weeks, pair.label_values,
        *(("registered",) if pair.registered else ()),
    )  # fmt: skip
    digest = hashlib.sha256(json.dumps([VERSION, stated, list(agents), asdict(settings)]).encode())
    for name, path in pair_paths(pair).items():
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(f"{name} {file.relative_to(path).as_posix()} {file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                while part := stream.read(1 << 20):
                    digest.update(part)
    return digest.hexdigest()


def split(patients: Sequence[str], share: float = VALIDATION) -> tuple[list[str], list[str]]:
    """Names for training and for validation; sessions of one person (`SESSION`) are on one side.

    Who is on which side follows from the person's name alone, so that nobody changes sides when a cohort grows.

    Raises:
        CohortError: nobody is left to train on.
    """

    def kept(name: str) -> bool:
        person = name.split(SESSION)[0]
        return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], "big") < share * 2**64

    train, validation = [n for n in patients if not kept(n)], [n for n in patients if kept(n)]
    if not train:
        raise CohortError(
            what="No patient of the cohort is left to train on",
            given=f"{len(validation)} for validation",
            remedy="Add patients, or keep a smaller share for validation",
        )
    return train, validation


def load_pair(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of one pair."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
