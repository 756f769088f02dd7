"""The law of the synthetic world: how a tumour of a visible type answers to a protocol.

The tables are invented: they make different tumours want different protocols, and leave a trace of the type in the
image. Only the constants of `LAW` were fitted, so that changes of diameter and survival are spread like those of real
patients (`lab/synthetic/calibration.py`; survival is in `lab/synthetic/survival.py`). Nothing here says what a real
drug does. `docs/SYNTHETIC_WORLD.md` states the equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MeWMLib.core.protocol import DRUG, EMBOLIC, Protocol, agent

TUMOUR_TYPES = (
    "hypervascular",
    "hypovascular",
    "necrotic_core",
    "infiltrative",
    "capsule",
    "multinodular",
    "portal_thrombus",
)

#: Sensitivity of each type to each drug class, 0 to 1 (order of `TUMOUR_TYPES`).
SENSITIVITY = {
    "platinum": (0.20, 0.75, 0.45, 0.30, 0.55, 0.60, 0.20),
    "anthracycline": (0.80, 0.20, 0.40, 0.25, 0.45, 0.65, 0.30),
    "antimetabolite": (0.15, 0.35, 0.15, 0.75, 0.25, 0.20, 0.70),
    "alkylating antibiotic": (0.35, 0.45, 0.80, 0.20, 0.20, 0.40, 0.50),
    "topoisomerase inhibitor": (0.30, 0.20, 0.30, 0.55, 0.80, 0.15, 0.35),
}
#: Occlusion that each embolic reaches in each type, 0 to 1.
OCCLUSION = {
    "Lipiodol": (0.60, 0.30, 0.40, 0.25, 0.45, 0.50, 0.25),
    "Gelatin Sponge": (0.40, 0.40, 0.30, 0.25, 0.45, 0.35, 0.20),
    "PVA": (0.50, 0.45, 0.35, 0.30, 0.30, 0.45, 0.25),
    "KMG": (0.45, 0.35, 0.55, 0.30, 0.35, 0.30, 0.30),
    "NBCA": (0.35, 0.30, 0.35, 0.65, 0.30, 0.25, 0.60),
    "Absolute Alcohol": (0.25, 0.55, 0.45, 0.45, 0.25, 0.30, 0.40),
    "LC beads": (0.60, 0.35, 0.30, 0.30, 0.60, 0.50, 0.25),
}
#: Share of dead tumour in which Lipiodol stays when it is the only embolic and the tumour is averagely vascular.
LIPIODOL_RETENTION = (0.80, 0.40, 0.50, 0.35, 0.60, 0.65, 0.30)
#: How potent an agent is relative to its class (1 = like its class).
POTENCY = {
    "Raltitrexed": 0.95,
    "Epirubicin": 0.90,
    "Doxorubicin": 1.05,
    "Pirarubicin": 0.75,
    "Idarubicin": 1.15,
    "Cisplatin": 1.05,
    "Oxaliplatin": 1.15,
    "Nedaplatin": 0.75,
    "Lobaplatin": 0.90,
}
#: Harm to the patient, added to the log-hazard.
TOXICITY = {DRUG: 0.04, EMBOLIC: 0.02, "Absolute Alcohol": 0.06, "NBCA": 0.05, "portal_thrombus": 0.06}


@dataclass(frozen=True)
class LawConstants:
    """Constants of the law's equations (docs/SYNTHETIC_WORLD.md), fitted by `lab.synthetic.calibration.fit`.

    Attributes:
        base, by_occlusion, by_drugs, by_both: logits of the dead share.
        spread: deviation between patients in logits of the dead share, most of it by perfusion, which can be seen.
        shrink: log-volume that a wholly dead and drugged tumour loses.
        growth: log-volume that a viable tumour gains until the next CT.
        volume_spread: deviation between patients of the log-volume, by perfusion and by what cannot be foreseen.
        median_months: survival at log-hazard 0.
    """

    base: float = -0.86
    by_occlusion: float = 1.44
    by_drugs: float = 2.54
    by_both: float = 1.6
    spread: float = 1.30
    shrink: float = 0.57
    growth: float = 0.24
    volume_spread: float = 0.25
    median_months: float = 22.0


LAW = LawConstants()
#: How much of the spread between patients can be seen (by perfusion) and how much cannot; squares add up to 1.
SEEN_RESPONSE, UNSEEN_RESPONSE = 0.9, 0.436
SEEN_VOLUME, UNSEEN_VOLUME = 0.8, 0.6


@dataclass(frozen=True)
class Traits:
    """What a tumour is, seen and unseen.

    Attributes:
        kind: one of `TUMOUR_TYPES`; visible.
        perfusion: standard normal within -2..2; visible as enhancement. Well perfused tumours answer better.
        response_noise, volume_noise: standard normal; what cannot be foreseen, the same for every protocol.
    """

    kind: str
    perfusion: float = 0.0
    response_noise: float = 0.0
    volume_noise: float = 0.0

    @property
    def vascularity(self) -> float:
        """0.75 to 1.25; scales occlusion and the uptake of Lipiodol."""
        return 1.0 + 0.125 * self.perfusion

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Traits:
        """Draw a tumour; all types are equally frequent."""
        kind = TUMOUR_TYPES[int(rng.integers(len(TUMOUR_TYPES)))]
        seen, response, volume = np.clip(rng.normal(size=3), -2, 2)
        return cls(kind, float(seen), float(response), float(volume))


@dataclass(frozen=True)
class Response:
    """What a protocol does to one tumour.

    Attributes:
        occlusion: share of the flow that is stopped.
        killed: share of drug-sensitive cells that the drugs kill.
        necrosis: share of the remaining lesion that is dead, 0 to 1.
        shrinkage: share of the lesion's volume that is gone; negative if it grew.
        lipiodol: share of the dead part that holds Lipiodol.
        new_lesion: probability of a new lesion elsewhere in the liver.
        toxicity: added to the log-hazard.
    """

    occlusion: float
    killed: float
    necrosis: float
    shrinkage: float
    lipiodol: float
    new_lesion: float
    toxicity: float


def dose_factor(name: str, dose: float | None) -> float:
    """Effect of a dose relative to the middle of its usual range (1 there, saturating above, 1 when not stated)."""
    if dose is None:
        return 1.0
    known = agent(name)
    middle = 0.5 * (known.dose_low + known.dose_high)
    return float(1.5 * dose / (dose + 0.5 * middle))


def respond(traits: Traits, protocol: Protocol, law: LawConstants = LAW) -> Response:
    """Answer of a tumour to any set of actions, the empty one included."""
    n = TUMOUR_TYPES.index(traits.kind)
    open_, alive = 1.0, 1.0
    for action in protocol.actions:
        if action.kind == EMBOLIC:
            share = OCCLUSION[action.agent][n] * traits.vascularity * dose_factor(action.agent, action.dose)
            open_ *= 1 - min(0.95, share)
    occlusion = 1 - open_
    # Drugs act better behind an embolus, and best when the embolus carries them.
    carrier = 1.0 if {"Lipiodol", "LC beads"} & set(protocol.embolics) else 0.75
    for action in protocol.actions:
        if action.kind == DRUG:
            strength = SENSITIVITY[agent(action.agent).agent_class][n] * POTENCY.get(action.agent, 1.0)
            strength *= dose_factor(action.agent, action.dose) * carrier * (0.5 + 0.5 * occlusion)
            alive *= 1 - min(0.95, strength)
    killed = 1 - alive
    dead = 0.0
    if protocol.actions:
        logit = law.base + law.by_occlusion * occlusion + law.by_drugs * killed + law.by_both * occlusion * killed
        logit += law.spread * (SEEN_RESPONSE * traits.perfusion + UNSEEN_RESPONSE * traits.response_noise)
        dead = 1 / (1 + np.exp(-logit))
    log_volume = law.growth * (1 - dead) - law.shrink * dead * (0.3 + 0.7 * killed)
    log_volume += law.volume_spread * (UNSEEN_VOLUME * traits.volume_noise - SEEN_VOLUME * traits.perfusion)
    shrinkage = 1 - np.exp(np.clip(log_volume, -1.6, 0.5))
    retention = 0.0
    if "Lipiodol" in protocol.embolics:
        # Another embolic behind the oil keeps it from being washed out.
        behind = 1.0 + 0.25 * (len(protocol.embolics) - 1)
        dose = next(dose_factor(a.agent, a.dose) for a in protocol.actions if a.agent == "Lipiodol")
        retention = min(0.95, LIPIODOL_RETENTION[n] * traits.vascularity * behind * dose)
    harm = sum(TOXICITY.get(a.agent, TOXICITY[a.kind]) for a in protocol.actions)
    if traits.kind == "portal_thrombus":
        # The portal vein is closed already: every artery that is closed too costs liver.
        harm += TOXICITY["portal_thrombus"] * len(protocol.embolics)
    spread_out = 0.05 + 0.35 * (1 - dead) * (1.5 if traits.kind in ("infiltrative", "portal_thrombus") else 1.0)
    return Response(
        float(occlusion), float(killed), float(dead), float(shrinkage), float(retention), float(spread_out), float(harm)
    )
