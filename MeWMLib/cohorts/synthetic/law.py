"""The law of the synthetic world: how a tumour of a visible type answers to a protocol, and how long its bearer lives.

The numbers are invented. They make different tumours want different protocols, and leave a trace of the type in the
image.
They say nothing about real drugs. `docs/SYNTHETIC_WORLD.md` states the equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MeWMLib.core.protocol import Protocol, agent

TUMOUR_TYPES = ("hypervascular", "hypovascular", "necrotic_core", "infiltrative", "capsule")

#: Sensitivity of each type to each drug class, 0 to 1 (order of `TUMOUR_TYPES`).
SENSITIVITY = {
    "platinum": (0.25, 0.70, 0.45, 0.35, 0.60),
    "anthracycline": (0.75, 0.20, 0.40, 0.30, 0.55),
    "antimetabolite": (0.20, 0.35, 0.15, 0.75, 0.30),
    "alkylating antibiotic": (0.35, 0.45, 0.75, 0.20, 0.25),
    "topoisomerase inhibitor": (0.30, 0.30, 0.35, 0.55, 0.75),
}
#: Occlusion that each embolic reaches in each type, 0 to 1.
OCCLUSION = {
    "Lipiodol": (0.60, 0.25, 0.40, 0.20, 0.45),
    "Gelatin Sponge": (0.40, 0.40, 0.30, 0.25, 0.45),
    "PVA": (0.50, 0.45, 0.35, 0.30, 0.30),
    "KMG": (0.45, 0.35, 0.55, 0.30, 0.35),
    "NBCA": (0.35, 0.30, 0.35, 0.70, 0.30),
    "Absolute Alcohol": (0.25, 0.55, 0.45, 0.45, 0.25),
    "LC beads": (0.65, 0.35, 0.30, 0.35, 0.60),
}
#: Share of dead tumour in which Lipiodol stays.
LIPIODOL_RETENTION = (0.85, 0.35, 0.55, 0.30, 0.65)
#: How potent an agent is beside its class (1 = like its class).
POTENCY = {
    "Epirubicin": 1.0,
    "Doxorubicin": 1.05,
    "Pirarubicin": 0.9,
    "Idarubicin": 1.1,
    "Nedaplatin": 0.85,
    "Lobaplatin": 0.9,
}
#: Harm to the patient, added to the log-hazard.
TOXICITY = {"drug": 0.06, "Absolute Alcohol": 0.10, "NBCA": 0.08, "embolic": 0.03}


@dataclass(frozen=True)
class Response:
    """What a protocol does to one tumour.

    Attributes:
        necrosis: share of the remaining lesion that is dead, 0 to 1.
        shrinkage: share of the lesion's volume that is gone; negative if it grew.
        lipiodol: share of the dead part that holds Lipiodol.
        toxicity: added to the log-hazard.
    """

    necrosis: float
    shrinkage: float
    lipiodol: float
    toxicity: float


def dose_factor(name: str, dose: float | None) -> float:
    """Effect of a dose beside the middle of its usual range (1 there, saturating above, 1 when not stated)."""
    if dose is None:
        return 1.0
    known = agent(name)
    middle = 0.5 * (known.dose_low + known.dose_high)
    return float(1.5 * dose / (dose + 0.5 * middle))


def respond(kind: str, vascularity: float, protocol: Protocol, noise: float = 0.0) -> Response:
    """Answer of a tumour.

    Args:
        kind: one of `TUMOUR_TYPES`.
        vascularity: 0.6 to 1.4; scales occlusion and Lipiodol.
        protocol: any set of actions, the empty one included.
        noise: what the traits do not explain, in logits of the dead share.
    """
    n = TUMOUR_TYPES.index(kind)
    open_, alive = 1.0, 1.0
    for action in protocol.actions:
        if action.kind == "embolic":
            open_ *= 1 - min(0.95, OCCLUSION[action.agent][n] * vascularity * dose_factor(action.agent, action.dose))
    occlusion = 1 - open_
    carrier = 1.0 if {"Lipiodol", "LC beads"} & set(protocol.embolics) else 0.7
    for action in protocol.actions:
        if action.kind == "drug":
            strength = SENSITIVITY[agent(action.agent).agent_class][n] * POTENCY.get(action.agent, 1.0)
            strength *= dose_factor(action.agent, action.dose)
            alive *= 1 - min(0.95, strength * carrier * (0.35 + 0.65 * occlusion))
    killed = 1 - alive
    dead = 1 - (1 - 0.6 * occlusion) * (1 - 0.9 * killed)
    if protocol.actions:
        dead = float(np.clip(dead, 0.02, 0.98))
        dead = 1 / (1 + np.exp(-(np.log(dead / (1 - dead)) + noise)))
    else:
        dead = 0.0
    shrinkage = 0.55 * killed * (0.4 + 0.6 * dead) - 0.15 * (1 - dead)
    retention = min(0.95, LIPIODOL_RETENTION[n] * vascularity) if "Lipiodol" in protocol.embolics else 0.0
    harm = sum(TOXICITY.get(a.agent, TOXICITY[a.kind]) for a in protocol.actions)
    return Response(float(dead), float(shrinkage), float(retention), float(harm))


#: Weibull shape of the survival time and its log-hazard terms.
WEIBULL_SHAPE = 1.3
MEDIAN_MONTHS = 22.0
VIABLE_WEIGHT = 0.75
REFERENCE_VIABLE_ML = 15.0


def true_log_risk(viable_ml: float, toxicity: float) -> float:
    """Log-hazard beside a patient who keeps `REFERENCE_VIABLE_ML` of viable tumour."""
    return VIABLE_WEIGHT * float(np.log((1 + viable_ml) / (1 + REFERENCE_VIABLE_ML))) + toxicity


def survival_months(log_risk: float, rng: np.random.Generator) -> tuple[float, bool]:
    """Draw a survival time and whether death was seen (else follow-up ended before)."""
    scale = MEDIAN_MONTHS / np.log(2) ** (1 / WEIBULL_SHAPE)
    death = scale * (-np.log(rng.uniform(1e-9, 1)) * np.exp(-log_risk)) ** (1 / WEIBULL_SHAPE)
    end = rng.uniform(12, 110)
    return float(max(0.1, min(death, end))), bool(death <= end)
