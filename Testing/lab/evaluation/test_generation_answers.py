"""Answers to dose, weeks and territory, on made-up models that obey the law and others that break it."""

from collections.abc import Sequence

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.core.volume import centred_grid
from MeWMLib.lab.evaluation import generation_answers as answers
from MeWMLib.lab.evaluation.generation_answers import DoseCurve, dose_figures, territory_figures, weeks_figures

GRID = centred_grid(np.zeros(3), (4, 6, 8), 4.0)


def maps(viable: float = 0.0, tumour: float = 1.0, iodine: float = 0.0) -> OutcomeMaps:
    even = (np.full(GRID.shape, value, np.float32) for value in (viable, tumour, 0.0, iodine))
    return OutcomeMaps(*even, GRID)


def curve(viable: Sequence[float], oil: Sequence[float] = (0,) * 5, name: str = "Doxorubicin") -> DoseCurve:
    return DoseCurve(name, tuple(viable), tuple(1 - v for v in viable), tuple(oil))


def test_one_trial_for_each_agent_with_a_dose() -> None:
    texts = ("Cisplatin + Lipiodol", "Doxorubicin 40 mg + Lipiodol 8 ml", "Doxorubicin 20 mg + PVA")
    given = [Protocol.parse(text) for text in texts]
    found = {t.agent: t for t in answers.dose_trials(given)}
    assert list(found) == ["Doxorubicin", "Lipiodol"]
    for name, trial in found.items():
        known = agent(name)
        assert trial.doses[0] == pytest.approx(known.dose_low / 2)
        assert trial.doses[-1] == pytest.approx(2 * known.dose_high)
        assert len(trial.doses) == 5 and np.ptp(np.diff(np.log(trial.doses))) < 1e-9
        for dose, protocol in zip(trial.doses, trial.protocols, strict=True):
            (own,) = [a for a in protocol.actions if a.agent == name]
            others = [a.text for a in protocol.actions if a.agent != name]
            assert own.dose == dose and others == [a.text for a in given[1].actions if a.agent != name]
    assert not answers.dose_trials(given[:1])


def test_a_model_that_obeys_the_dose_and_one_that_does_not() -> None:
    good, flat, bad = curve([0.9, 0.7, 0.5, 0.4, 0.1]), curve([0.5] * 5), curve([0.1, 0.4, 0.5, 0.7, 0.9])
    one_step = curve([0.9, 0.7, 0.75, 0.4, 0.1])
    assert dose_figures([good]) == {"dose_monotone": 1, "dose_monotone_patients": 1, "dose_dead_rho": pytest.approx(1)}
    assert dose_figures([bad])["dose_monotone"] == 0 and dose_figures([bad])["dose_dead_rho"] == pytest.approx(-1)
    # what does not answer at all rises nowhere, and has no rank
    assert dose_figures([flat])["dose_monotone"] == 1 and dose_figures([flat])["dose_dead_rho"] == 0
    found = dose_figures([good, one_step])
    assert found["dose_monotone"] == 7 / 8 and found["dose_monotone_patients"] == 0
    assert found["dose_dead_rho"] == pytest.approx((1 + 0.9) / 2)
    assert dose_figures([]) == {}


def test_rounding_is_no_rise_and_a_thousandth_is() -> None:
    assert dose_figures([curve([0.5, 0.5 + 1e-7, 0.5, 0.4, 0.3])])["dose_monotone"] == 1
    assert dose_figures([curve([0.5, 0.5005, 0.5, 0.4, 0.3])])["dose_monotone"] == 3 / 4


def test_the_dose_of_lipiodol_against_what_is_left() -> None:
    rising, falling = (curve([0.5] * 5, oil, "Lipiodol") for oil in ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]))
    assert dose_figures([rising])["lipiodol_dose_rho"] == pytest.approx(1)
    assert dose_figures([falling])["lipiodol_dose_rho"] == pytest.approx(-1)
    # in a patient in whom none stays there is nothing to rank, and another agent's dose is no dose of Lipiodol
    assert "lipiodol_dose_rho" not in dose_figures([curve([0.5] * 5, [0] * 5, "Lipiodol")])
    assert "lipiodol_dose_rho" not in dose_figures([curve([0.5] * 5, [1, 2, 3, 4, 5])])


def test_weeks_of_an_exact_half_life() -> None:
    weeks = np.array(answers.WEEKS)
    found = weeks_figures(weeks, 3 * 0.5 ** (weeks / 12))
    assert found["weeks_sign"] == 1
    assert answers.half_life([found["lipiodol_decay_per_week"]]) == pytest.approx(12)
    # the middle of two rates, and not of two half-lives
    assert answers.half_life([np.log(2) / 6, np.log(2) / 12, np.nan]) == pytest.approx(8)
    rising = weeks_figures(weeks, weeks)
    assert rising["weeks_sign"] == 0 and np.isnan(answers.half_life([rising["lipiodol_decay_per_week"]]))
    assert weeks_figures(weeks, [1, 1, 1, 1])["weeks_sign"] == 0
    assert weeks_figures(weeks, [4, 3, 3.5, 1])["weeks_sign"] == 0
    assert weeks_figures(weeks, [0, 0, 0, 0]) == {"weeks_sign": 0}
    assert np.isnan(answers.half_life([]))


def test_shares_of_the_half_that_was_fed() -> None:
    front = np.zeros(GRID.shape, np.float32)
    front[:, 3:] = 1
    inside, tumour = np.ones(GRID.shape, bool), np.ones(GRID.shape, np.float32)
    told = maps(viable=1)
    obeys = OutcomeMaps(1 - front, told.tumour, told.change, 2 * front, GRID)
    against = OutcomeMaps(front, told.tumour, told.change, 2 * (1 - front), GRID)
    full, none = (territory_figures([(m, front)], inside, tumour) for m in (obeys, against))
    assert full == {"territory_lipiodol_share": 1, "territory_dead_share": 1, "territory_tumour_share": 0.5}
    assert none["territory_lipiodol_share"] == none["territory_dead_share"] == 0
    blind = territory_figures([(maps(0.25, 1, 3), front), (maps(0.25, 1, 3), 1 - front)], inside, tumour)
    assert all(share == pytest.approx(0.5) for share in blind.values())
    # a half without voxels is left out of the mean, and so is everything outside
    assert territory_figures([(obeys, front), (told, front)], inside, tumour)["territory_lipiodol_share"] == 1
    part = territory_figures([(maps(0.25, 1, 3), front)], front > 0, tumour)
    assert part["territory_lipiodol_share"] == part["territory_tumour_share"] == 1


def test_lipiodol_of_the_law_is_that_of_the_grains() -> None:
    patient = next(p for p in map(StudyPatient.draw, range(200_000, 200_050)) if p.oil_luck and len(p.nodules) == 1)
    protocol = Protocol.parse("Doxorubicin 40 mg + Lipiodol 8 ml")
    grid = centred_grid(np.array(patient.nodules[0].centre)[::-1], (40, 40, 40), 3.0)
    (scan,) = patient.render_all(grid, [protocol], noise=False, session=patient.session)
    law = patient.lipiodol_ml(protocol, patient.session)
    assert law > 0 and scan.grains.mg.sum() / 480 == pytest.approx(law, rel=0.02)
    assert patient.lipiodol_ml(Protocol.parse("Doxorubicin + PVA"), patient.session) == 0
