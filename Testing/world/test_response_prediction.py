"""What a simulation is told: agrees with the model's own responses, and moves risk, labels and hints."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.patient import Findings, Lesion
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.world.response_prediction import predicted_responses, response_hint

A, B = Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Mitomycin + NBCA")
BEFORE = Findings(1000.0, 100.0, (Lesion(1, 50.0, 40.0, (0.0, 0.0, 0.0), 90.0, 10.0, 0.0, 0.2, 40.0),))
SETTINGS = PlanSettings(replicas=2)


class Telling:
    """Kills half after A, a quarter after B, and lets the tumour grow by the seed in percent."""

    tells_response = True

    def responses(self, encoded, protocols, seeds, spread):
        dead = [0.5 if p == A else 0.25 for p in protocols]
        return np.array([[d, 1 + seed / 100, 0.0] for d, seed in zip(dead, seeds, strict=True)], np.float32)


class Silent(Telling):
    tells_response = False


def test_the_viable_volume_is_what_did_not_die_of_what_lived():
    one, two = predicted_responses(Telling(), None, BEFORE, [(A, 0), (B, 20)], SETTINGS)
    assert one == (1.0, 20.0)
    assert two.ratio == pytest.approx(1.2) and two.viable_ml == pytest.approx(40 * 1.2 * 0.75)


def test_hints_are_means_over_the_replicas_and_rise_with_the_viable_volume():
    hint = response_hint(Telling(), None, BEFORE, (0, 20), SETTINGS)
    known = hint([A, B])
    assert known.shape == (2, 2) and known[0, 0] < known[1, 0]
    assert known[0] == pytest.approx([np.mean(np.log1p([20, 24])), np.mean(np.log1p([50, 60]))], abs=1e-5)


@pytest.mark.parametrize(("model", "guidance"), [(Silent(), 1.0), (Telling(), 2.0), (Telling(), 0.0)])
def test_who_does_not_draw_what_it_was_told_tells_nothing(model, guidance):
    settings = PlanSettings(guidance=guidance)
    assert predicted_responses(model, None, BEFORE, [(A, 0)], settings) is None
    assert response_hint(model, None, BEFORE, (0,), settings) is None
