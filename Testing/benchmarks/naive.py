"""Algorithm 1 as printed: each candidate by itself, nothing shared, the outline by the assistant. To be compared with.

It uses the networks of the bundle through the same public parts as the planner does, one candidate and one replica at
a time, and starts from the patient's CT each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import LabelMap, Provenance
from MeWMLib.dynamics.compose import compose
from MeWMLib.perception.preprocess import isotropic_geometry, resample
from MeWMLib.perception.segmenter import Segmenter
from MeWMLib.planning.search import actions, narrowed
from MeWMLib.policy import rules
from MeWMLib.world.model import WorldModel
from MeWMLib.world.patch import TreatedPatch

#: Of the sliding window over the liver, as the paper has it.
OVERLAP = 0.75
#: Around the liver, so that its edge is seen (mm).
MARGIN_MM = 10.0


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def judge(
    world: WorldModel,
    patient: Patient,
    protocol: Protocol,
    seed: int,
    settings: PlanSettings,
    clock: Clock,
    whole_liver: bool,
) -> float:
    """Log-risk of one candidate and replica, with nothing remembered.

    Args:
        whole_liver: the segmenter segments the whole liver of the simulated CT by sliding windows; else it sees the
            treated patch alone.
    """
    with clock("cut and encode the CT before"):
        patch = TreatedPatch.of(patient)
        encoded = world._dynamics.encode(patch.hu, patch.labels, patch.spacing_mm)
        before = patch.findings(patch.hu, patch.labels)
    with clock("simulate"):
        change = world._dynamics.simulate(
            encoded, [protocol], [seed], settings.steps, settings.guidance, spread=settings.spread
        )[0]
    with clock("compose"):
        image = patch.simulated(change)
        if whole_liver:
            mark = Provenance(protocol.text, seed, world.bundle.name, world.bundle.sha256, {})
            ct = compose(patient.ct, patient.labels, change, patch.geometry, mark)
    with clock("outline"):
        if whole_liver:
            grid, box = liver_grid(patient, world.segmenter.config.spacing_mm)
            printed = Segmenter(
                replace(world.segmenter.config, overlap=OVERLAP), world.segmenter.network, world.segmenter.device
            )
            found = printed.segment(resample(ct.array, ct.geometry, grid)[box])
            whole = np.zeros(grid.shape, np.uint8)
            whole[box] = found
            after = resample(LabelMap(whole, grid).array, grid, patch.geometry, "nearest", 0)
            # what the assistant says is read as the planner reads it: as a change against what it said before
            labels = patch.labels_after(world._prepare(patient).assistant_before, after)
        else:
            seen = world.segmenter.segment_patches(np.stack([patch.hu, image]), patch.spacing_mm)
            labels = patch.labels_after(seen[0], seen[1])
    with clock("measure"):
        changed = patch.change(before, patch.findings(image, labels))
    with clock("survival, 5 patches before and 5 after"):
        pre = patch.views(patch.hu, patch.labels)
        post = patch.views(image, labels)
        return world._assessor.judge(pre, post, patch.covariates(changed)).log_risk


def liver_grid(patient: Patient, spacing_mm: float) -> tuple[object, tuple[slice, ...]]:
    """The assistant's grid over the CT, and the part of it that holds the liver."""
    grid = isotropic_geometry(patient.ct.geometry, spacing_mm)
    liver = resample(patient.labels.array, patient.labels.geometry, grid, "nearest", 0) >= 1
    margin = int(np.ceil(MARGIN_MM / spacing_mm))
    where = np.argwhere(liver)
    low, high = where.min(0), where.max(0) + 1
    box = tuple(slice(max(0, a - margin), min(n, b + margin)) for a, b, n in zip(low, high, liver.shape, strict=True))
    return grid, box


def printed_walk(
    space: ActionSpace, settings: PlanSettings, risk: Callable[[Protocol], float]
) -> tuple[Protocol, int, list[Protocol]]:
    """Algorithm 1 as printed, every beam by itself and always appending.

    Returns:
        its answer, the number of candidates that it judges (each with T replicas), and these candidates.
    """
    drugs, embolics = actions(narrowed(space, settings))
    beams = [Protocol(())] * settings.beams
    judged: list[Protocol] = []
    for candidates in [drugs] * settings.drug_horizon + [embolics] * settings.embolic_horizon:
        for n, beam in enumerate(beams):
            children = [beam.plus(a) for a in candidates if a.agent not in beam.agents]
            children = [c for c in children if rules.allowed(c)]
            judged += children
            beams[n] = min(children, key=lambda p: (risk(p), p.text), default=beam)
        key: Callable[[int], float] = lambda n: risk(beams[n])  # noqa: E731, B023
        worst, best = max(range(len(beams)), key=key), min(range(len(beams)), key=key)
        beams[worst] = beams[best]
    complete: Sequence[Protocol] = [b for b in beams if b.complete]
    return min(complete, key=lambda p: (risk(p), p.text)), len(judged), judged
