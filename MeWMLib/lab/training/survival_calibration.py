"""After a survival training: scale, zero, baseline hazard and ensemble members of the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import exposure
from MeWMLib.lab.linear_cox import LinearCox
from MeWMLib.lab.training.survival_data import SurvivalCase, one_per_patient
from MeWMLib.lab.training.survival_members import bootstrap_members
from MeWMLib.survival.network import SurvivalNetwork, SurvivalOutput

_MIN_SLOPE = 0.25


def calibrate(
    network: SurvivalNetwork,
    train_cases: Sequence[SurvivalCase],
    held_out: Sequence[SurvivalCase],
    patients: int,
    member_ridge: float,
    seed: int,
    device: str = "cpu",
) -> float:
    """Set scale, zero, baseline and members of the risk; the order of patients stays.

    The slope of the log-risk in a Cox model on held-out patients says how far training overstated it (van Houwelingen,
    Stat Med 2000). Log-risk 0 becomes the mean training patient, and the baseline of each interval the
    deaths over the exposure under these risks (Breslow), with one prior death at the overall rate. Where a patient has
    several lives after what was given, all of them count.

    Args:
        network: trained; changed in place.
        train_cases, held_out: of other patients.
        patients: at most so many training patients are looked at.
        member_ridge: see `survival_members`.
        seed: of the choice of patients and of the members.
        device: where the network is.

    Returns:
        The slope, kept within [0.25, 1].
    """
    network.eval()
    risk, _, lives = _scored(network, held_out, device)
    try:
        months, events = _flat(lives)
        slope = float(LinearCox.fit(np.repeat(risk, [len(x) for x in lives])[:, None], months, events).coefficients[0])
    except SurvivalDataError:
        slope = 1.0  # too few deaths to say
    slope = float(np.clip(slope, _MIN_SLOPE, 1.0))
    rng = np.random.default_rng([seed, 4])
    names = sorted({c.patient for c in train_cases})
    some = {names[i] for i in rng.permutation(len(names))[:patients]}
    risk, features, lives = _scored(network, [c for c in train_cases if c.patient in some], device)
    months, events = _flat(lives)
    shift = float(risk.mean())
    edges = np.asarray(network.config.edges_months, dtype=np.float64)
    lived, death = exposure(months, events, edges)
    widths = np.diff(edges)
    hazard = np.exp(slope * (np.repeat(risk, [len(x) for x in lives]) - shift))
    exposed = (hazard[:, None] * lived * widths).sum(axis=0)  # (B,) patient-months
    rate = max(death.sum(), 1) / exposed.sum()
    baseline = np.log((death.sum(axis=0) + 1) / (exposed + 1 / rate) * widths)
    with torch.no_grad():
        network.risk_shift.fill_(shift)
        network.risk_scale.fill_(slope)
        network.baseline.copy_(torch.as_tensor(baseline))
    if network.config.members:
        change = bootstrap_members(features, torch.as_tensor(risk), lives, network.config.members, member_ridge, seed)
        with torch.no_grad():
            network.member_weights.copy_(change)
            network.member_shift.copy_((features @ change.T).mean(dim=0))
    return slope


def output_of(
    network: SurvivalNetwork, case: SurvivalCase, device: str = "cpu", patches: int | None = None
) -> SurvivalOutput:
    """What the network says of one case (N = 1), on its first `patches` patches or on all; cases may differ in them."""
    pre, post = (x.to(device)[None] for x in case.images(patches))
    late = torch.as_tensor(np.asarray(case.covariates, dtype=np.float32), device=device)[None]
    found: SurvivalOutput = network(pre, post, late)
    return found


def _scored(
    network: SurvivalNetwork, cases: Sequence[SurvivalCase], device: str
) -> tuple[NDArray[np.float64], Tensor, list[list[tuple[float, bool]]]]:
    """For the first case of each patient: log-risk (N,), features (N, E) float64, and all outcomes of that image."""
    first = one_per_patient(cases)
    lives: dict[str, list[tuple[float, bool]]] = {c.patient: [] for c in first}
    image = {c.patient: c.post for c in first}
    for case in cases:
        if case.post is image[case.patient]:
            lives[case.patient].append((case.months, case.event))
    risks, features = [], []
    with torch.inference_mode():
        for case in first:
            output = output_of(network, case, device)
            risks.append(float(output.log_risk[0]))
            features.append(output.features[0].double().cpu())
    # out of inference mode, so that the members can be fitted to them
    return np.array(risks), torch.stack(features).clone(), [lives[c.patient] for c in first]


def _flat(lives: Sequence[Sequence[tuple[float, bool]]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([m for x in lives for m, _ in x]), np.array([e for x in lives for _, e in x], dtype=bool)
