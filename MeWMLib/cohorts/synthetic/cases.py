"""Cases of the synthetic world: patients, the protocols that they were given, and patches before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import survival_months, true_log_risk
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient
from MeWMLib.core.protocol import DRUG, EMBOLIC, Action, Protocol, agent, agents_of
from MeWMLib.policy import rules

#: Seeds of the splits. A patient is a seed, so the splits are by patient. Nothing is ever trained on the test range.
SPLITS = {"train": range(100_000), "validation": range(100_000, 110_000), "test": range(200_000, 210_000)}


@dataclass(frozen=True, eq=False)
class Case:
    """One synthetic patient with several counterfactual outcomes on the treated patch.

    Attributes:
        seed: of the patient.
        spacing_mm: of the patch.
        before: the pre-treatment drawing.
        protocols: what was given in each outcome; the first is the one whose survival was observed.
        after: a drawing for each protocol.
        true_log_risk: of each protocol, from the world's law.
        months, event: survival under the first protocol.
    """

    seed: int
    spacing_mm: float
    before: Rendering
    protocols: tuple[Protocol, ...]
    after: tuple[Rendering, ...]
    true_log_risk: tuple[float, ...]
    months: float
    event: bool


def _action(name: str, rng: np.random.Generator) -> Action:
    known = agent(name)
    dose = float(rng.uniform(known.dose_low, known.dose_high)) if rng.random() < 0.4 else None
    return Action(name, dose)


def draw_protocol(rng: np.random.Generator, drugs: int | None = None, embolics: int | None = None) -> Protocol:
    """A random protocol that the clinical rules allow, with one or two agents of each kind unless given."""
    while True:
        n_drugs = int(rng.integers(1, 3)) if drugs is None else drugs
        n_embolics = int(rng.integers(1, 3)) if embolics is None else embolics
        names = [*rng.permutation(agents_of(DRUG))[:n_drugs], *rng.permutation(agents_of(EMBOLIC))[:n_embolics]]
        # Lipiodol is in most real protocols; without this weight the model would see too little of it.
        if n_embolics and "Lipiodol" not in names and rng.random() < 0.4:
            names[-1] = "Lipiodol"
        protocol = Protocol(tuple(_action(str(n), rng) for n in names))
        if rules.allowed(protocol):
            return protocol


def protocols_for(seed: int) -> tuple[Protocol, ...]:
    """Protocols of one patient: full ones, a pair that differs in the drug alone, and partial ones as searches ask."""
    rng = np.random.default_rng(derive_seed("protocols", seed))
    given = draw_protocol(rng)
    twin = Protocol.of(given.embolics)
    while not twin.complete or not rules.allowed(twin) or twin.drugs == given.drugs:
        twin = Protocol.of((str(rng.choice(agents_of(DRUG))), *given.embolics))
    return (
        given,
        twin,
        draw_protocol(rng, 1, 1),
        draw_protocol(rng),
        draw_protocol(rng, int(rng.integers(1, 3)), 0),
        draw_protocol(rng, 0, int(rng.integers(1, 3))) if rng.random() < 0.3 else draw_protocol(rng, 1, 1),
    )


def draw_case(seed: int, size: int = 96, jitter: bool = True) -> Case:
    """Draw patient `seed` and the outcomes of its protocols on the treated patch."""
    patient = SyntheticPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("case", seed))
    geometry = patient.target_geometry(size, jitter=rng if jitter else None)
    protocols = protocols_for(seed)
    before, *after = patient.render_all(geometry, [None, *protocols])
    risks = [
        true_log_risk(float(drawn.viable.sum()) * geometry.voxel_ml, patient.response(p).toxicity)
        for drawn, p in zip(after, protocols, strict=True)
    ]
    months, event = survival_months(risks[0], rng)
    return Case(seed, geometry.spacing[0], before, protocols, tuple(after), tuple(risks), months, event)


def cases(seeds: Sequence[int]) -> Iterator[Case]:
    """Cases one by one."""
    return (draw_case(seed) for seed in seeds)
