"""Does a predicted outcome answer to dose, weeks and territory as the law of the world does? Each by itself.

What is measured knows nothing of networks: a model is a function from protocols, weeks and territory to maps of cubes,
and the truth is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from MeWMLib.cohorts.synthetic.outcome import Session
from MeWMLib.cohorts.synthetic.territories import FedMask
from MeWMLib.core.coarse_maps import FloatArray, OutcomeMaps
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.lab.evaluation.generation_figures import ranks_agree
from MeWMLib.lab.evaluation.known_study import KnownStudy

OIL = "Lipiodol"
#: Doses from half of the low end of the usual range to twice its high end, by equal factors.
DOSES = 5
#: Weeks at which Lipiodol is asked for.
WEEKS = (2.0, 5.0, 10.0, 20.0)
#: What of the first value counts as no rise: sums of single precision differ by so much.
SLACK = 1e-5
#: Less Lipiodol (ml) than this is none.
NO_OIL_ML = 1e-4
#: Protocols, weeks and the fed share of each cube to maps.
Predict = Callable[[Sequence[Protocol], float, FloatArray], Sequence[OutcomeMaps]]
Figures = dict[str, float]


@dataclass(frozen=True)
class DoseTrial:
    """One protocol with the dose of one agent varied.

    Attributes:
        agent: whose dose.
        doses: rising.
        protocols: one for each dose.
    """

    agent: str
    doses: tuple[float, ...]
    protocols: tuple[Protocol, ...]


@dataclass(frozen=True)
class DoseCurve:
    """What follows from the doses of a trial, one number for each; viable tissue and Lipiodol in any unit.

    Attributes:
        agent: whose dose.
        viable: tissue that is left.
        dead: share of the tumour afterwards that is dead.
        oil: Lipiodol.
    """

    agent: str
    viable: tuple[float, ...]
    dead: tuple[float, ...]
    oil: tuple[float, ...]


def dose_trials(protocols: Sequence[Protocol]) -> list[DoseTrial]:
    """A trial for each agent with a stated dose, in the first protocol that states one."""
    found: dict[str, DoseTrial] = {}
    for protocol in protocols:
        for action in protocol.actions:
            if action.dose is None or action.agent in found:
                continue
            known = agent(action.agent)
            doses = tuple(float(d) for d in np.geomspace(0.5 * known.dose_low, 2 * known.dose_high, DOSES))
            others = [a for a in protocol.actions if a.agent != action.agent]
            given = tuple(protocol.of_actions([*others, replace(action, dose=d)]) for d in doses)
            found[action.agent] = DoseTrial(action.agent, doses, given)
    return list(found.values())


def dose_figures(curves: Sequence[DoseCurve]) -> Figures:
    """How curves of a patient follow the dose.

    Returns:
        dose_monotone (share of steps at which viable tissue does not rise), dose_monotone_patients (1 if all do not),
        dose_dead_rho (Spearman of dose and dead share, mean over agents), lipiodol_dose_rho (of the dose of Lipiodol
        and Lipiodol that is left); what cannot be said is left out.
    """
    out: Figures = {}
    if curves:
        steps = np.concatenate([falls(c.viable, SLACK) for c in curves])
        out["dose_monotone"] = float(steps.mean())
        out["dose_monotone_patients"] = float(steps.all())
        out["dose_dead_rho"] = float(np.mean([rises_with_rank(c.dead) for c in curves]))
    for curve in curves:
        if curve.agent == OIL and max(curve.oil) > NO_OIL_ML:
            out["lipiodol_dose_rho"] = rises_with_rank(curve.oil)
    return out


def falls(values: ArrayLike, slack: float = 0.0) -> NDArray[np.bool_]:
    """Of each step (N - 1,) whether the next value is not above the one before, but for a share of the first."""
    values = np.asarray(values, float)
    return np.asarray(np.diff(values) <= slack * abs(values[0]))


def rises_with_rank(values: ArrayLike) -> float:
    """Spearman of values and their order; 0 where they do not vary."""
    return ranks_agree(values, np.arange(np.size(values)))


def weeks_figures(weeks: Sequence[float], oil_ml: Sequence[float]) -> Figures:
    """How Lipiodol falls with the weeks.

    Returns:
        weeks_sign (1 if it falls at every step, else 0), and lipiodol_decay_per_week (of its logarithm, by least
        squares) where there is some at all times.
    """
    found = {"weeks_sign": float((np.diff(oil_ml) < 0).all())}
    if min(oil_ml) > NO_OIL_ML:
        found["lipiodol_decay_per_week"] = -float(np.polyfit(weeks, np.log(oil_ml), 1)[0])
    return found


def half_life(decays: ArrayLike) -> float:
    """Weeks in which half is gone, by the mean decay of patients; NaN where nothing falls."""
    known = np.asarray(decays, float)
    known = known[np.isfinite(known)]
    mean = float(known.mean()) if len(known) else 0.0
    return float(np.log(2)) / mean if mean > 0 else float("nan")


def territory_figures(
    halves: Sequence[tuple[OutcomeMaps, FloatArray]], inside: NDArray[np.bool_], tumour: FloatArray
) -> Figures:
    """Of Lipiodol and of dead tissue in the tumour, the share in the half that was fed.

    Args:
        halves: maps (k, j, i), and the share of each cube that was fed for them.
        inside: (k, j, i) what counts.
        tumour: (k, j, i) before treatment.

    Returns:
        territory_lipiodol_share, territory_dead_share, means over the halves in which there is any; and
        territory_tumour_share, which is what no answer to the territory would give.
    """
    amounts: Mapping[str, list[FloatArray]] = {
        "territory_lipiodol_share": [maps.iodine for maps, _ in halves],
        "territory_dead_share": [np.clip(maps.tumour - maps.viable, 0, 1) for maps, _ in halves],
        "territory_tumour_share": [tumour for _ in halves],
    }
    out: Figures = {}
    for name, each in amounts.items():
        shares = [
            float((what * fed)[inside].sum() / what[inside].sum())
            for what, (_, fed) in zip(each, halves, strict=True)
            if what[inside].sum() > 0
        ]
        if shares:
            out[name] = float(np.mean(shares))
    return out


def answers(known: KnownStudy, predict: Predict) -> Figures:
    """How a model answers for one patient; its figures are those of `true_answers`."""
    fed, weeks = known.fed_cubes(known.drawn.fed), known.session.weeks
    trials = dose_trials(known.protocols)
    out = dose_figures([_curve(t.agent, predict(t.protocols, weeks, fed)) for t in trials])
    oily, given = _asked(known)
    if oily:
        out |= weeks_figures(WEEKS, [predict(oily, w, fed)[0].lipiodol_ml for w in WEEKS])
    areas = [known.fed_cubes(half) for half in _halves(known)]
    told = [(predict(given, weeks, area)[0], area) for area in areas]
    return out | territory_figures(told, known.cubes_inside, known.ready.region.targets)


def true_answers(known: KnownStudy) -> Figures:
    """How the world answers: doses and weeks by its law, territories as drawn."""
    out = dose_figures([_true_curve(known, t) for t in dose_trials(known.protocols)])
    oily, given = _asked(known)
    left = [known.drawn.lipiodol_ml(p, Session(w, known.drawn.fed)) for p in oily for w in WEEKS]
    # in some patients no Lipiodol stays, whatever is given
    if left and max(left) > NO_OIL_ML:
        out |= weeks_figures(WEEKS, left)
    sessions = [(half, Session(known.session.weeks, half)) for half in _halves(known)]
    drawn = [(known.true_maps(given, session)[0], known.fed_cubes(half)) for half, session in sessions]
    return out | territory_figures(drawn, known.cubes_inside, known.ready.region.targets)


def _asked(known: KnownStudy) -> tuple[tuple[Protocol, ...], tuple[Protocol, ...]]:
    """The first protocol with Lipiodol, if there is one, and else the first one."""
    oily = tuple(p for p in known.protocols if OIL in p.embolics)[:1]
    return oily, oily or known.protocols[:1]


def _halves(known: KnownStudy) -> list[FedMask]:
    """The front and the back half of the first nodule, divided between two layers of cubes."""
    cubes = known.cubes
    z, y, x = known.drawn.nodules[0].centre
    middle = round(float(cubes.to_kji(np.array([[x, y, z]]))[0, 1]) + 0.5)
    front = np.zeros(cubes.shape, bool)
    front[:, :middle] = True  # rows run to the back
    return [FedMask(front, cubes), FedMask(~front, cubes)]


def _curve(name: str, maps: Sequence[OutcomeMaps]) -> DoseCurve:
    viable = tuple(float(m.viable.sum(dtype=np.float64)) for m in maps)
    tumour = [max(float(m.tumour.sum(dtype=np.float64)), 1e-9) for m in maps]
    dead = tuple(1 - v / t for v, t in zip(viable, tumour, strict=True))
    return DoseCurve(name, viable, dead, tuple(m.lipiodol_ml for m in maps))


def _true_curve(known: KnownStudy, trial: DoseTrial) -> DoseCurve:
    found = [known.drawn.response(p) for p in trial.protocols]
    return DoseCurve(
        trial.agent,
        tuple((1 - r.shrinkage) * (1 - r.necrosis) for r in found),
        tuple(r.necrosis for r in found),
        tuple(known.drawn.lipiodol_ml(p, known.session) for p in trial.protocols),
    )
