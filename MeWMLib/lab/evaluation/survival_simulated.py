"""The risk of simulated outcomes against the counterfactual truth of the synthetic world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.lab.evaluation.known_patients import KnownPatient
from MeWMLib.lab.evaluation.metrics import bootstrap_mean
from MeWMLib.lab.evaluation.work import Say, silent
from MeWMLib.world.model import WorldModel

#: Replicas of each simulated protocol.
REPLICAS = 3


def evaluate_simulated(
    bundle: str | None, seeds: Sequence[int], seed: int, say: Say = silent
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Judge simulated and true outcomes of all complete protocols of test patients.

    Rows `mewm_simulated` (the product's own risk) and `mewm_true_images` (the network on the world's images, with true
    outlines). Metrics, one number a patient: `counterfactual_rank_correlation` (Spearman of predicted and true log-risk
    over the patient's protocols), `risk_error` (mean absolute difference of log-risks, each centred over all patients
    and protocols), and over all pairs of protocols of one patient `order_right`, the share that is ordered as in truth.

    Returns:
        The rows, and for each patient its protocols with predicted and true log-risk.
    """
    world = WorldModel.load(find_bundle(bundle))
    plan = replace(PlanSettings(), replicas=REPLICAS)
    found: list[dict[str, Any]] = []
    for n, number in enumerate(seeds):
        known = KnownPatient.draw(world, number)
        # in one go: the networks take them a chunk at a time, and three replicas leave half a chunk empty
        protocols, each = zip(*product(known.protocols, replica_seeds(seed, REPLICAS)), strict=True)
        replicas = world.on_patch(known.patient, protocols, each, plan)[1]
        simulated = np.reshape([r.score.log_risk for r in replicas], (-1, REPLICAS)).mean(1).tolist()
        drawn = [world.judge_image(known.patient, t.hu, t.labels).log_risk for t in known.truths]
        one = {"seed": number, "protocols": [p.text for p in known.protocols], "true": known.true_risks()}
        found.append(one | {"mewm_simulated": simulated, "mewm_true_images": drawn})
        say("simulated", (n + 1) / len(seeds))
    return {name: _row(found, name, seed) for name in ("mewm_simulated", "mewm_true_images")}, found


def _row(found: Sequence[dict[str, Any]], name: str, seed: int) -> dict[str, Any]:
    truth = np.concatenate([f["true"] for f in found]).mean()
    mine = np.concatenate([f[name] for f in found]).mean()
    ranks, errors, right = [], [], []
    for one in found:
        true, predicted = np.array(one["true"]), np.array(one[name])
        # 0 where the prediction is the same for all
        ranks.append(float(spearmanr(predicted, true)[0]) if np.ptp(predicted) and np.ptp(true) else 0.0)
        errors.append(float(np.abs((predicted - mine) - (true - truth)).mean()))
        i, j = np.triu_indices(len(true), 1)
        # a pair with equal predictions counts one half
        same = np.sign(true[i] - true[j]) * np.sign(predicted[i] - predicted[j])
        right.append(float((1 + same).mean() / 2))
    figures = {"counterfactual_rank_correlation": ranks, "risk_error": errors, "order_right": right}
    return {name: bootstrap_mean(values, seed) for name, values in figures.items()}
