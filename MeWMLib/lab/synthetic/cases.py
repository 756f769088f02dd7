"""Cases of the synthetic world: patients, the protocols that they were given, and patches before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import TUMOUR_TYPES, Traits, respond
from MeWMLib.cohorts.synthetic.patients import WORLD, draw_patient
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient, lps_grid
from MeWMLib.core.protocol import DRUG, EMBOLIC, Action, Protocol, agent, agents_of
from MeWMLib.core.volume import Geometry
from MeWMLib.lab.synthetic.survival import survival_months, true_log_risk
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
        n_drugs = int(rng.choice((1, 1, 2, 3))) if drugs is None else drugs
        n_embolics = int(rng.integers(1, 3)) if embolics is None else embolics
        names = [*rng.permutation(agents_of(DRUG))[:n_drugs], *rng.permutation(agents_of(EMBOLIC))[:n_embolics]]
        # Lipiodol is in most real protocols; without this weight the model would see too little of it.
        if n_embolics and "Lipiodol" not in names and rng.random() < 0.4:
            names[-1] = "Lipiodol"
        protocol = Protocol(tuple(_action(str(n), rng) for n in names))
        if rules.allowed(protocol):
            return protocol


#: Regimens that the clinicians of this world are used to, and how strongly (log-weight beside any other protocol).
HABITS = {
    "Cisplatin + Doxorubicin + Mitomycin + Lipiodol": 3.0,
    "Doxorubicin + LC beads": 2.5,
    "Doxorubicin + Lipiodol": 2.0,
    "Epirubicin + Lipiodol + Gelatin Sponge": 2.0,
}
#: How many other protocols a clinician considers, and how sharply the expected outcome decides.
CONSIDERED, SHARPNESS = 16, 4.0


def clinicians_choice(traits: Traits, rng: np.random.Generator) -> Protocol:
    """What a clinician gives: noisy-rational, P(a) proportional to exp(habit(a) + sharpness x expected dead share(a)).

    The clinician sees the type, but not what is unseen, and mistakes it for another in one case of four.
    """
    kind = traits.kind if rng.random() < 0.75 else TUMOUR_TYPES[int(rng.integers(len(TUMOUR_TYPES)))]
    believed = Traits(kind, traits.perfusion)
    options = [Protocol.parse(text) for text in HABITS]
    habit = list(HABITS.values())
    for _ in range(CONSIDERED):
        options.append(draw_protocol(rng))
        habit.append(0.0)
    answers = [respond(believed, p) for p in options]
    score = np.array(habit) + SHARPNESS * np.array([a.necrosis - a.toxicity for a in answers])
    weight = np.exp(score - score.max())
    return options[int(rng.choice(len(options), p=weight / weight.sum()))]


def protocols_for(patient: SyntheticPatient) -> tuple[Protocol, ...]:
    """Eight protocols of one patient: what the clinician gave, and counterfactuals.

    Two twins share the given embolics and differ in the drugs alone, so that drugs are learnt and not only embolics;
    then come full protocols, and two partial ones as searches ask for them.
    """
    rng = np.random.default_rng(derive_seed("protocols", patient.seed))
    given = clinicians_choice(patient.traits, rng)
    found = [given]
    while len(found) < 3:
        twin = Protocol.of((str(rng.choice(agents_of(DRUG))), *given.embolics))
        if rules.allowed(twin) and twin not in found and twin.drugs != given.drugs:
            found.append(twin)
    found += [draw_protocol(rng, 1, 1), draw_protocol(rng), draw_protocol(rng, int(rng.integers(1, 4)), 1)]
    found.append(draw_protocol(rng, int(rng.integers(1, 3)), 0))
    found.append(draw_protocol(rng, 0, int(rng.integers(1, 3))))
    return tuple(found)


def drug_twins(seed: int, count: int = 6) -> tuple[Protocol, ...]:
    """Protocols of one patient that share the embolics and differ in their single drug (to test that drugs matter)."""
    rng = np.random.default_rng(derive_seed("drug twins", seed))
    embolic = str(rng.choice(("Lipiodol", "Lipiodol", "Gelatin Sponge", "PVA", "LC beads")))
    found: list[Protocol] = []
    for name in rng.permutation(agents_of(DRUG)):
        protocol = Protocol.of((str(name), embolic))
        if rules.allowed(protocol):
            found.append(protocol)
    return tuple(found[:count])


def target_geometry(patient: SyntheticPatient, size: int = 96, jitter: np.random.Generator | None = None) -> Geometry:
    """The treated patch: a cube of `size` voxels around the first nodule (see docs/ARCHITECTURE.md)."""
    nodule = patient.nodules[0]
    spacing = max(1.0, 2 * 1.15 * nodule.radius / 80.0)
    centre = np.array(nodule.centre)
    if jitter is not None:
        spacing = max(1.0, spacing * jitter.uniform(0.95, 1.15))
        centre = centre + jitter.uniform(-5, 5, 3) * spacing
    half = 0.5 * (size - 1) * spacing
    return lps_grid((size, size, size), (spacing,) * 3, (centre[2] + half, centre[1] + half, centre[0] - half))


def case_geometry(patient: SyntheticPatient, size: int = 96) -> Geometry:
    """The treated patch of `draw_case`, moved and scaled a little by chance (the seed's)."""
    return target_geometry(patient, size, np.random.default_rng(derive_seed("case", patient.seed)))


def draw_case(seed: int, size: int = 96, jitter: bool = True, world: int = WORLD) -> Case:
    """Draw patient `seed` and the outcomes of its protocols on the treated patch, in a version of the world.

    Raises:
        InputError: there is no such version.
    """
    patient = draw_patient(seed, world)
    rng = np.random.default_rng(derive_seed("case", seed))
    geometry = target_geometry(patient, size, rng if jitter else None)
    protocols = protocols_for(patient)
    before, *after = patient.observed(geometry, [None, *protocols])
    risks = [
        true_log_risk(float(drawn.viable.sum()) * geometry.voxel_ml, patient.response(p))
        for drawn, p in zip(after, protocols, strict=True)
    ]
    months, event = survival_months(risks[0], rng)
    return Case(seed, geometry.spacing[0], before, protocols, tuple(after), tuple(risks), months, event)
