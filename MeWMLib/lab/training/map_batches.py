"""Batches of coarse maps for the map network, from a folder of `map_cohort` (or of real pairs, `map_pairs`)."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.dynamics import response
from MeWMLib.dynamics.actions import has_lipiodol, known_agents
from MeWMLib.dynamics.map_channels import ASKED, drawn_channels, patient_channels
from MeWMLib.dynamics.map_network import Given, session_numbers
from MeWMLib.lab.training.response_head import standardise

#: Cubes along the side of a crop: mostly the small one; the large one keeps the network used to whole regions.
CROPS, LARGE_SHARE = (24, 40), 0.12
#: Rows of a batch of large crops, as a share of the others'.
LARGE_ROWS = 0.25
#: How often the territory, the weeks and the protocol with its response are hidden.
HIDDEN_FED, HIDDEN_WEEKS, HIDDEN_ACTION = 0.3, 0.15, 0.1
#: Cubes around the tumour, before and after, that count in full, and what the others count.
RIM, OUTSIDE = 2, 0.03
#: Maps that a session has, by the channel that each is drawn in.
MAPS = ("viable", "tumour_after", "change", "iodine")
#: Where a real pair tells each of them (`map_pairs.encode_pair`).
KNOWN = ("viable", "tumour", "change", "iodine")
Arrays = dict[str, NDArray[Any]]
#: Arrays of a drawn patient that batches are made of.
OF_PATIENT = (
    "hu", "tumour", "liver", "fed", *MAPS, "weeks", "actions", "responses", "arterial", "noise", "seed",
)  # fmt: skip


def read_arrays(path: Path, names: Sequence[str]) -> Arrays:
    """Some arrays of a file of `map_cohort.prepare_maps`.

    Raises:
        InputError: a file of something else, such as a patient of the latent model.
        UnreadableFileError: no such file, or a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            found = {name: file[name] for name in names if name not in missing}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableFileError(
            what="The arrays of a patient cannot be read",
            given=f"{path} ({error})",
            remedy="Delete the file and make it again with `mewm train maps-cohort`",
        ) from error
    if missing:
        raise InputError(
            what="The file holds no coarse maps of a patient",
            given=f"{path}, without {', '.join(missing)}",
            remedy="Make the folder with `mewm train maps-cohort`; for one of `mewm train cohort` add --model latent",
        )
    return found


def require_patients(folder: Path) -> None:
    """Refuse a folder without patients.

    Raises:
        InputError: it holds none.
    """
    if not any(folder.glob("*.npz")):
        raise InputError(
            what="There are no patients to train on",
            given=str(folder),
            remedy="Make them with `mewm train maps-cohort`",
        )


class MapCohort:
    """Patients in memory, as `map_cohort.encode_maps` writes them; new files are read by `refresh`.

    Args:
        folder: with a .npz of each.

    Raises:
        InputError: there is none, or files of something else.
        UnreadableFileError: a damaged file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.patients: list[Arrays] = []
        self._read: set[str] = set()
        require_patients(folder)
        self.refresh()

    def refresh(self) -> None:
        """Read files that have come since."""
        for path in sorted(self.folder.glob("*.npz")):
            if path.name not in self._read:
                self._read.add(path.name)
                self.patients.append(read_arrays(path, OF_PATIENT))

    def batch(self, rows: int, rng: np.random.Generator, sessions: int = 2, size: int | None = None) -> Batch:
        """A random batch: several sessions of each patient, all cropped to cubes of one size."""
        if size is None:
            size = CROPS[1] if rng.random() < LARGE_SHARE else CROPS[0]
        if size > CROPS[0]:
            rows = max(2, round(rows * LARGE_ROWS))
        return self.draw(self.patients, rows, rng, sessions, size)

    @staticmethod
    def draw(
        patients: Sequence[Arrays], rows: int, rng: np.random.Generator, sessions: int = 2, size: int = CROPS[0]
    ) -> Batch:
        """The same from any patients."""
        fitting = [p for p in patients if min(p["hu"].shape) >= size] or patients
        found: list[Arrays] = []
        while len(found) < rows:
            patient = fitting[int(rng.integers(len(fitting)))]
            part = crop_of(patient["tumour"], min(size, *patient["hu"].shape), rng)
            flips = tuple(n for n in range(3) if rng.random() < 0.5)
            seen = _seen(patient, part, rng)
            for which in rng.permutation(len(patient["weeks"]))[: min(sessions, rows - len(found))]:
                found.append(_row(patient, int(which), part, seen, flips))
        return Batch.of(found, rng)


def _seen(patient: Arrays, part: tuple[slice, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """What is seen of a part of a patient, with noise."""
    hu = patient["hu"][part].astype(np.float32)
    hu = hu + float(patient["noise"]) * rng.standard_normal(hu.shape).astype(np.float32)
    return patient_channels(hu, *(patient[n][part].astype(np.float32) for n in ("tumour", "liver")))


def whole_row(patient: Arrays, which: int = 0) -> Arrays:
    """A session of a patient in the whole region."""
    part = (slice(None),) * 3
    return _row(patient, which, part, _seen(patient, part, np.random.default_rng(0)), ())


def crop_of(tumour: NDArray[Any], size: int, rng: np.random.Generator) -> tuple[slice, ...]:
    """A cube of `size` around a random cube of tumour."""
    shape = np.array(tumour.shape)
    touched = np.argwhere(tumour > 0.5)
    middle = touched[int(rng.integers(len(touched)))] if len(touched) else shape // 2
    # the middle of the tumour is drawn as often as a place in it
    if len(touched) and rng.random() < 0.5:
        middle = (touched.min(0) + touched.max(0)) // 2
    start = np.clip(middle - size // 2 + rng.integers(-3, 4, 3), 0, shape - size)
    return tuple(slice(int(n), int(n) + size) for n in start)


def _row(
    patient: Arrays, which: int, part: tuple[slice, ...], seen: NDArray[np.float32], flips: tuple[int, ...]
) -> Arrays:
    maps = [patient[n][which][part].astype(np.float32) for n in MAPS]
    known = [patient[f"known_{n}"][which][part] if f"known_{n}" in patient else np.ones(seen.shape[1:]) for n in KNOWN]
    images = {
        "seen": seen,
        "fed": patient["fed"][which][part].astype(np.float32)[None],
        "maps": np.stack(maps),
        "known": np.stack(known).astype(np.float32),
    }
    turned = {k: np.ascontiguousarray(np.flip(v, tuple(1 + n for n in flips))) for k, v in images.items()}
    return turned | {
        "weeks": np.float32(patient["weeks"][which]),
        "arterial": np.bool_(patient["arterial"]),
        "actions": patient["actions"][which],
        "responses": patient["responses"][which],
        "fed_known": np.bool_(patient.get("fed_known", True)),
    }


class Batch:
    """Rows ready for the network.

    Attributes:
        given: what it is told.
        clean: (N, ASKED, d, h, w) what it is asked for.
        weight: (N, ASKED, d, h, w) how much each cube counts; every row adds up to 1 in each channel that is known.
    """

    def __init__(self, given: Given, clean: Tensor, weight: Tensor) -> None:
        self.given, self.clean, self.weight = given, clean, weight

    @classmethod
    def of(cls, rows: Sequence[Arrays], rng: np.random.Generator | None) -> Batch:
        """Stack rows, and hide what is hidden by chance; nothing without `rng`."""
        stacked = {k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}
        n = len(rows)

        def chance(p: float) -> Tensor:
            return torch.zeros(n, dtype=torch.bool) if rng is None else torch.from_numpy(rng.random(n) < p)

        fed_known = stacked["fed_known"] & ~chance(HIDDEN_FED)
        fed = stacked["fed"] * fed_known[:, None, None, None, None]
        weeks = torch.where(chance(HIDDEN_WEEKS), torch.nan, stacked["weeks"])
        hidden = chance(HIDDEN_ACTION)
        actions = stacked["actions"]
        oil = has_lipiodol(actions, known_agents())
        told = response.features(standardise(stacked["responses"]), oil, hidden)
        given = Given(
            stacked["seen"], fed, session_numbers(weeks, stacked["arterial"], fed_known), actions, told, hidden
        )
        tumour = stacked["seen"][:, 2]
        clean = drawn_channels(*stacked["maps"].unbind(1), tumour)
        known = torch.cat([stacked["known"], stacked["known"][:, -1:]], 1)
        near = torch.maximum(tumour, stacked["maps"][:, 1])[:, None] > 0.02
        near = near.float()
        for axis in range(3):  # one axis at a time: a tenth of the comparisons
            size, padding = [1, 1, 1], [0, 0, 0]
            size[axis], padding[axis] = 2 * RIM + 1, RIM
            near = torch.nn.functional.max_pool3d(near, size, stride=1, padding=padding)
        weight = known * (OUTSIDE + (1 - OUTSIDE) * near)
        total = weight.sum((2, 3, 4), keepdim=True).clamp_min(1.0)
        assert clean.shape[1] == ASKED
        return cls(given, clean, weight / total)

    def __len__(self) -> int:
        return len(self.clean)

    def to(self, device: torch.device) -> Batch:
        """The same on a device; from pinned memory it gets there while the program goes on."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in pinned memory; `DataLoader` asks for it."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        given = Given(**{name: change(value) for name, value in vars(self.given).items()})
        return Batch(given, change(self.clean), change(self.weight))


def joined(one: Batch, other: Batch) -> Batch:
    """Two batches of crops of one size as one."""
    given = Given(**{n: torch.cat([v, getattr(other.given, n)]) for n, v in vars(one.given).items()})
    return Batch(given, torch.cat([one.clean, other.clean]), torch.cat([one.weight, other.weight]))
