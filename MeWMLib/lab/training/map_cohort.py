"""Patients of the world as coarse maps: what the map network is trained on (`mewm train maps-cohort`).

A patient is drawn on voxels of 2 mm without noise, before treatment and after some sessions, each with a protocol, a
territory and weeks of its own; everything is then averaged over cubes of 4 mm. Noise is added where it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes, derive_seed
from MeWMLib.cohorts.synthetic.law import respond
from MeWMLib.cohorts.synthetic.outcome import WEEKS, Session
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.cohorts.synthetic.territories import Fed, HalfSpace, WholeLiver
from MeWMLib.cohorts.synthetic.world import lps_grid
from MeWMLib.core.coarse_maps import MAP_MM, SIDE_MM, seen_hu
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry
from MeWMLib.dynamics.actions import encode_protocols, known_agents
from MeWMLib.dynamics.map_channels import patient_appearance
from MeWMLib.lab.synthetic.cases import SPLITS, draw_protocol, protocols_for
from MeWMLib.lab.training.prepare import SCANS, noted_protocols, responses, save_case

#: Voxels (mm) that are drawn; two of them make a cube of the maps.
DRAWN_MM = 2.0
#: Sessions that are drawn of each patient.
SESSIONS = 4
#: Around the tumour at least, and how far it may lie off the middle (mm).
MARGIN_MM, OFF_MM = 14.0, 8.0
#: How often the portal phase is drawn, and how often a session feeds the whole liver.
PORTAL, WHOLE = 0.7, 0.4
#: Deviation of noise in the mean of a cube, as a share of that in the scanner's voxels.
COARSE_NOISE = 0.22


def map_geometry(patient: StudyPatient, rng: np.random.Generator) -> Geometry:
    """A grid of `DRAWN_MM` around the first nodule, whose maps have whole cells of the network."""
    nodule = patient.nodules[0]
    side = max(96.0, SIDE_MM * np.ceil(2 * (1.2 * nodule.radius + MARGIN_MM) / SIDE_MM))
    count = round(side / DRAWN_MM)
    z, y, x = np.array(nodule.centre) + rng.uniform(-OFF_MM, OFF_MM, 3)
    half = 0.5 * (count - 1) * DRAWN_MM
    return lps_grid((count,) * 3, (DRAWN_MM,) * 3, (x + half, y + half, z - half))


def draw_session(patient: StudyPatient, rng: np.random.Generator) -> Session:
    """Weeks and territory of a session: the whole liver, or one side of a plane near the tumour's middle."""
    weeks = float(np.clip(5 * np.exp(0.6 * rng.standard_normal()), *WEEKS))
    fed: Fed = WholeLiver()
    if rng.random() >= WHOLE:
        nodule = patient.nodules[0]
        way = rng.standard_normal(3)
        way /= np.linalg.norm(way)
        z, y, x = np.array(nodule.centre) + rng.uniform(-0.8, 0.8) * nodule.radius * way
        fed = HalfSpace((z, y, x), (way[0], way[1], way[2]), int(rng.integers(2**31)))
    return Session(weeks, fed)


def encode_maps(seed: int, agents: list[str], sessions: int = SESSIONS) -> dict[str, NDArray[Any]]:
    """Arrays of one patient with S sessions on a grid of (d, h, w) cubes.

    Returns:
        hu (d, h, w) float16 before treatment, without noise; tumour, liver (d, h, w) float16 shares; fed, viable,
        tumour_after, change, iodine (S, d, h, w) float16: share that is fed, shares after, HU of tissue after less
        before, mg/ml; weeks (S,); actions (S, A, 3); responses (S, 4); noted_actions, noted_responses as in
        `prepare.encode_case`; arterial () bool; noise () HU in a cube; seed ().
    """
    patient = StudyPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("maps", seed))
    phase = "portal" if rng.random() < PORTAL else "arterial"
    geometry = map_geometry(patient, rng)
    before = patient.render_all(geometry, [None], noise=False, phase=phase)[0]
    found = before.coarse(MAP_MM)
    coarse = _coarse_grid(geometry)
    chosen = _chosen(patient, rng, sessions)
    rows: dict[str, list[Any]] = {n: [] for n in ("fed", "viable", "tumour_after", "change", "iodine", "weeks")}
    hu = seen_hu(found.attenuation)
    for protocol in chosen:
        session = draw_session(patient, rng)
        maps = patient.render_all(geometry, [protocol], noise=False, session=session, phase=phase)[0].coarse(MAP_MM)
        assert session.fed is not None
        rows["fed"].append(session.fed.share(Axes.of(coarse)))
        rows["viable"].append(maps.viable)
        rows["tumour_after"].append(maps.tumour)
        rows["change"].append(seen_hu(maps.attenuation) - hu)
        rows["iodine"].append(maps.iodine)
        rows["weeks"].append(session.weeks)
    return {
        **noted_maps(patient, agents),
        "hu": hu.astype(np.float16),
        "tumour": found.tumour.astype(np.float16),
        "liver": _liver(before.labels).astype(np.float16),
        **{n: np.stack(v).astype(np.float16 if n != "weeks" else np.float32) for n, v in rows.items()},
        "actions": encode_protocols(chosen, agents).numpy(),
        "responses": np.stack([responses(patient.response(p)) for p in chosen]),
        "arterial": np.bool_(phase == "arterial"),
        "noise": np.float32(COARSE_NOISE * patient.scanner.noise_hu),
        "seed": np.int64(seed),
    }


def session_protocols(seed: int, sessions: int = SESSIONS) -> tuple[StudyPatient, list[Protocol]]:
    """The patient of `encode_maps`, and the protocols of the sessions; the first is what was given."""
    patient = StudyPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("maps", seed))
    rng.random()  # the phase
    map_geometry(patient, rng)
    return patient, _chosen(patient, rng, sessions)


def _chosen(patient: StudyPatient, rng: np.random.Generator, sessions: int) -> list[Protocol]:
    return [protocols_for(patient)[0], *(draw_protocol(rng) for _ in range(sessions - 1))]


def encode_map_scan(seed: int, agents: list[str]) -> dict[str, NDArray[Any]]:
    """What the response head learns from: the appearance (F,) before treatment, and noted protocols with responses."""
    patient = StudyPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("maps", seed))
    phase = "portal" if rng.random() < PORTAL else "arterial"
    before = patient.render_all(map_geometry(patient, rng), [None], noise=False, phase=phase)[0]
    found = before.coarse(MAP_MM)
    noise = COARSE_NOISE * patient.scanner.noise_hu * rng.standard_normal(found.tumour.shape)
    looks = patient_appearance(seen_hu(found.attenuation + noise), found.tumour, _liver(before.labels))
    return {**noted_maps(patient, agents), "appearance": looks, "arterial": np.bool_(phase == "arterial")}


def noted_maps(patient: StudyPatient, agents: list[str]) -> dict[str, NDArray[Any]]:
    """Protocols of a patient with the response that can be foreseen: without chance (`law.Traits`) and lability."""
    noted: list[Protocol] = noted_protocols(patient.seed)
    foreseen = replace(patient.traits, response_noise=0.0, volume_noise=0.0)
    return {
        "noted_actions": encode_protocols(noted, agents).numpy(),
        "noted_responses": np.stack([responses(respond(foreseen, p)) for p in noted]),
    }


def _coarse_grid(geometry: Geometry) -> Geometry:
    """The cubes of the maps over the drawn grid."""
    block = round(MAP_MM / DRAWN_MM)
    count = geometry.shape[0] // block
    low, high = geometry.to_ras(np.zeros((1, 3)))[0], geometry.to_ras(np.full((1, 3), block - 1.0))[0]
    x, y, z = 0.5 * (low + high)
    return lps_grid((count,) * 3, (MAP_MM,) * 3, (float(x), float(y), float(z)))


def _liver(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    block = round(MAP_MM / DRAWN_MM)
    d, h, w = (n // block for n in labels.shape)
    return np.asarray((labels >= 1).reshape(d, block, h, block, w, block).mean((1, 3, 5)), np.float32)


def prepare_split(
    folder: Path,
    split: str,
    patients: int,
    start: int = 0,
    scans_only: bool = False,
    on_step: Callable[[str, float], None] | None = None,
) -> None:
    """Write some patients of a split into a cohort: `FOLDER/SPLIT`, or with `scans_only` the folder of `SCANS`.

    Args:
        folder: of the cohort.
        split: train or validation.
        patients, start: how many, and the number of the first.

    Raises:
        InputError: numbers that the split does not have.
    """
    everyone = SPLITS[split]
    if patients < 1 or start < 0 or start + patients > len(everyone):
        raise InputError(
            what=f"The split {split} does not hold these patients",
            given=f"{patients} patients from number {start} on",
            remedy=f"Numbers are 0 to {len(everyone) - 1}",
        )
    seeds = list(everyone[start : start + patients])
    prepare_maps(known_agents(), folder / (SCANS[split] if scans_only else split), seeds, scans_only, on_step)


def prepare_maps(
    agents: list[str],
    folder: Path,
    seeds: list[int],
    scans_only: bool = False,
    on_step: Callable[[str, float], None] | None = None,
) -> None:
    """Write patients (with `scans_only` what `encode_map_scan` gives) into a folder; files that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    encode = encode_map_scan if scans_only else encode_maps
    for n, seed in enumerate(seeds):
        path = folder / f"{seed:06d}.npz"
        if not path.exists():
            save_case(path, encode(seed, agents))
        if on_step is not None:
            on_step("coarse maps", (n + 1) / len(seeds))
