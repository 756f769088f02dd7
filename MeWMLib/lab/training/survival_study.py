"""Survival training in version 3 of the world: on patients as coarse maps (`mewm train maps-cohort`).

What a search shows the survival network is the scan before, and the same scan with what the coarse maps change in it.
So that is what it is trained on: the truth's maps in place of predicted ones, brought to the voxels of the views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.coarse_maps import MAP_MM
from MeWMLib.core.errors import InputError
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import Geometry, centred_grid
from MeWMLib.lab.synthetic.survival import survival_months, true_log_risk
from MeWMLib.lab.training.map_cohort import COARSE_NOISE, session_protocols
from MeWMLib.lab.training.survival import TrainSurvivalConfig, train
from MeWMLib.lab.training.survival_cohort import LIVES
from MeWMLib.lab.training.survival_data import SurvivalCase
from MeWMLib.perception.preprocess import PATCH_FIT_MM, PATCH_SIZE, resample
from MeWMLib.rendering.iodine import rise_hu
from MeWMLib.survival.config import (
    SESSION_COVARIATES,
    SIZE_COVARIATES,
    SurvivalConfig,
    chosen_covariates,
    size_covariates,
)
from MeWMLib.survival.patches import five_views

FloatArray = NDArray[np.float32]
#: Deviation of noise in a voxel of the views, as a share of that in the scanner's voxels.
VIEW_NOISE = 0.4
#: The least that a network takes for images.
_LEAST = (1, 2, 16, 16, 16)
#: What each form of the model is told: `network` looks at images and knows sizes and session; `plain` is a Cox model of
#: the viable volume alone.
NETWORK, PLAIN = "network", "plain"
FORMS = {
    NETWORK: SurvivalConfig(covariates=(*SIZE_COVARIATES, *SESSION_COVARIATES)),
    PLAIN: SurvivalConfig(covariates=("log1p_viable_ml_after",), images=False),
}


@dataclass(frozen=True, eq=False)
class MapPatient:
    """A patient of a cohort of coarse maps, with the world's risk after each session.

    Attributes:
        path: of the arrays.
        seed: of the patient.
        sizes: (S, 4) of `size_covariates`.
        weeks: (S,) from treatment to the scan.
        arterial: phase.
        risks: (S,) the world's log-hazards.
        grid: of the views, at half the resolution of the treated patch.
    """

    path: Path
    seed: int
    sizes: FloatArray
    weeks: FloatArray
    arterial: bool
    risks: NDArray[np.float64]
    grid: Geometry

    @classmethod
    def read(cls, path: Path) -> MapPatient:
        """Read the numbers; the maps are read when their images are asked for."""
        with np.load(path) as data:
            seed, tumour = int(data["seed"]), data["tumour"].astype(np.float32)
            viable, after = (_ml(data[name]) for name in ("viable", "tumour_after"))
            weeks, arterial = data["weeks"], bool(data["arterial"])
        patient, protocols = session_protocols(seed, len(weeks))
        risks = [true_log_risk(ml, patient.response(p)) for ml, p in zip(viable, protocols, strict=True)]
        grid, spacing = _view_grid(tumour)
        before = _ml(tumour[None])[0]
        sizes = [size_covariates(spacing, before, *ml) for ml in zip(after, viable, strict=True)]
        return cls(path, seed, np.stack(sizes), weeks, arterial, np.array(risks), grid)

    def cases(
        self, session: int, network: SurvivalConfig, lives: Sequence[tuple[float, bool]]
    ) -> Iterator[SurvivalCase]:
        """Lives (months, event) after a session; images are made when they are asked for.

        Lives after one session share their images, by which a calibration knows them. For a network that sees no images
        they are empty.
        """
        late = chosen_covariates(network.covariates, self.sizes[session], float(self.weeks[session]), self.arterial)
        views = [MapViews(self, session, after) if network.images else np.zeros(_LEAST) for after in (False, True)]
        for months, event in lives:
            yield SurvivalCase(*views, late, months, event, str(self.seed))

    def image(self, session: int, after: bool) -> NDArray[np.float16]:
        """(2, d, h, w) [CT in -1..1, share of tumour] before a session, or after it; the noise is the same in both."""
        with np.load(self.path) as data:
            cubes = _cube_grid(data["hu"].shape)
            hu, tumour = data["hu"].astype(np.float32), data["tumour"]
            if after:
                hu = hu + data["change"][session] + rise_hu(data["iodine"][session].astype(np.float32))
                tumour = data["tumour_after"][session]
            noise = float(data["noise"]) * VIEW_NOISE / COARSE_NOISE
        rng = np.random.default_rng(derive_seed("view noise", self.seed))
        low, high = CT_WINDOW_HU
        shown, share = (resample(np.asarray(x, np.float32), cubes, self.grid, "linear", 0.0) for x in (hu, tumour))
        shown = shown + noise * rng.standard_normal(shown.shape, dtype=np.float32)
        image = np.clip((shown - low) / (high - low) * 2 - 1, -1, 1)
        return np.stack([image, np.clip(share, 0, 1)]).astype(np.float16)


@dataclass(frozen=True, eq=False)
class MapViews:
    """The five views of one image, made when numpy asks for them: thousands of them fit into no memory."""

    patient: MapPatient
    session: int
    after: bool

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        views = five_views(self.patient.image(self.session, self.after))
        return views if dtype is None else views.astype(dtype, copy=False)


@dataclass(frozen=True)
class MapPatients:
    """The patients of a folder.

    Raises:
        InputError: it holds none.
    """

    folder: Path

    @cached_property
    def all(self) -> list[MapPatient]:
        """In the order of their seeds."""
        paths = sorted(self.folder.glob("*.npz"))
        if not paths:
            raise InputError(
                what="No patients as coarse maps", given=str(self.folder), remedy="Run `mewm train maps-cohort` first"
            )
        return [MapPatient.read(path) for path in paths]

    def cases(self, network: SurvivalConfig, lives: int = LIVES) -> Iterator[SurvivalCase]:
        """Lives after every session; the first of each patient is the first life after what was given."""
        for patient in self.all:
            rng = life_rng(patient.seed)
            for session, risk in enumerate(patient.risks):
                drawn = [survival_months(float(risk), rng) for _ in range(lives)]
                yield from patient.cases(session, network, drawn)


def life_rng(seed: int) -> np.random.Generator:
    """Draws the lives of a patient; the first one is that which followed what was given."""
    return np.random.default_rng(derive_seed("map survival", seed))


def train_on_maps(
    cohort: Path,
    work: Path,
    bundle: Path,
    steps: int,
    seed: int,
    on_step: Callable[[str, float], None] | None,
    minutes: float = 0.0,
    device: str = "cpu",
    form: str = NETWORK,
) -> dict[str, Any]:
    """Train a form of the model on `cohort`/train, measure on `cohort`/validation, write the bundle part."""
    network = FORMS[form]
    config = TrainSurvivalConfig.of_drawn(steps, seed, minutes, device, network)
    train_side, held_out = (list(MapPatients(cohort / s).cases(network)) for s in ("train", "validation"))
    return train(config, train_side, held_out, work / "survival", bundle, on_step)


def _ml(share: NDArray[Any]) -> list[float]:
    return [float(one.sum(dtype=np.float64)) * MAP_MM**3 / 1000 for one in share]


def _cube_grid(shape: tuple[int, ...]) -> Geometry:
    return centred_grid(np.zeros(3), (shape[0], shape[1], shape[2]), MAP_MM)


def _view_grid(tumour: FloatArray) -> tuple[Geometry, float]:
    """Half the resolution of the treated patch around the tumour, and the spacing of the patch (mm)."""
    there = np.argwhere(tumour > 0.5) if (tumour > 0.5).any() else np.argwhere(tumour == tumour.max())
    low, high = there.min(0), there.max(0)
    spacing = max(1.0, MAP_MM * float((high - low + 1).max()) / PATCH_FIT_MM)
    middle = _cube_grid(tumour.shape).to_ras(((low + high) / 2)[None])[0]
    half = PATCH_SIZE // 2
    return centred_grid(middle, (half, half, half), 2 * spacing), spacing
