"""Figures against values worked by hand, by scipy and by scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from MeWMLib.core.errors import StudyError
from MeWMLib.core.reader_study import REAL, SIMULATED, StudyAnswer
from MeWMLib.lab.reader_study.follows import follow, within_kinds
from MeWMLib.lab.reader_study.key import Key, KeyCase
from MeWMLib.lab.reader_study.mrmc import NAME, NAME_ONE, compare
from MeWMLib.lab.reader_study.plain import holm, left_out_accuracy, plain_readers, told_apart
from MeWMLib.lab.reader_study.statistics import (
    agreement,
    auc_of,
    cohen_kappa,
    delong,
    figures,
    fleiss_kappa,
    roc,
    share,
    times,
)


def answer(case: str, rating: int, seconds: float = 4.0) -> StudyAnswer:
    return StudyAnswer(case, REAL if rating > 0 else SIMULATED, abs(rating), seconds)


def test_exact_intervals_are_clopper_and_pearsons():
    # 18 of 24, the paper's mean specificity
    found = share(18, 24)
    assert (found.value, found.right, found.n) == (0.75, 18, 24)
    for right, n in ((18, 24), (1, 7), (0, 9), (9, 9), (23, 24)):
        expected = stats.binomtest(right, n).proportion_ci(0.95, "exact")
        assert (share(right, n).low, share(right, n).high) == pytest.approx((expected.low, expected.high))
    # all and none by hand: 1 - (alpha / 2) ** (1 / n)
    assert share(0, 10).high == pytest.approx(1 - 0.025 ** (1 / 10)) and share(0, 10).low == 0
    assert share(10, 10).low == pytest.approx(0.025 ** (1 / 10)) and share(10, 10).high == 1
    assert math.isnan(share(0, 0).value) and (share(0, 0).low, share(0, 0).high) == (0, 1)


def test_figures_of_a_table_worked_by_hand():
    real = [answer(f"r{n}", r) for n, r in enumerate((5, 4, 1, -2))]
    simulated = [answer(f"s{n}", r) for n, r in enumerate((-5, -1, 3, -4, -2))]
    found = figures(real, simulated)
    assert (found.sensitivity.right, found.sensitivity.n) == (3, 4)
    assert (found.specificity.right, found.specificity.n) == (4, 5)
    assert (found.accuracy.right, found.accuracy.n) == (7, 9)
    # of 20 pairs: 5 and 4 win 5 each, 1 wins 4, -2 wins against -5 and -4 and ties with -2
    assert found.auc == pytest.approx((5 + 5 + 4 + 2.5) / 20)
    assert roc([5, 4, 1, -2], [-5, -1, 3, -4, -2]) == [
        (0, 0), (0, 0.25), (0, 0.5), (0.2, 0.5), (0.2, 0.75), (0.4, 0.75), (0.6, 1), (0.8, 1), (1, 1),
    ]  # fmt: skip
    assert math.isnan(figures([], simulated).auc)


def test_auc_and_roc_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    ratings = np.array([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5])
    for _ in range(20):
        real, simulated = rng.choice(ratings, 13), rng.choice(ratings, 9)
        truth, said = np.r_[np.ones(13), np.zeros(9)], np.r_[real, simulated]
        area = auc_of(real, simulated)
        assert area == pytest.approx(metrics.roc_auc_score(truth, said))
        x, y = zip(*roc(real.tolist(), simulated.tolist()), strict=True)
        assert integrate.trapezoid(y, x) == pytest.approx(area)
        first, second = rng.random(30) < 0.6, rng.random(30) < 0.5
        assert cohen_kappa(first, second) == pytest.approx(metrics.cohen_kappa_score(first, second))


def test_auc_is_mann_and_whitneys_and_delongs_variance_is_the_bootstraps():
    rng = np.random.default_rng(1)
    real, simulated = rng.normal(1, 1, 40).round(1), rng.normal(0, 1, 35).round(1)
    area, variance = delong(real, simulated)
    assert area == pytest.approx(stats.mannwhitneyu(real, simulated).statistic / (40 * 35))
    drawn = [auc_of(rng.choice(real, 40), rng.choice(simulated, 35)) for _ in range(3000)]
    assert math.sqrt(variance) == pytest.approx(float(np.std(drawn)), rel=0.08)
    assert math.isnan(delong([1.0], [2.0, 3.0])[1])


def test_kappas_of_tables_in_the_literature():
    # Cohen's by hand: 20 and 15 agree of 50, (0.7 - 0.5) / (1 - 0.5)
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    # Fleiss (1971) as in textbooks: 14 raters, 10 subjects, 5 kinds: 0.210
    table = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    assert fleiss_kappa(table) == pytest.approx(0.210, abs=5e-4)
    assert math.isnan(cohen_kappa([True, True], [True, True])) and math.isnan(fleiss_kappa([(2, 0), (2, 0)]))
    for bad in ([], [(1, 1), (2, 1)], [(1, 0), (1, 0)]):
        with pytest.raises(StudyError):
            fleiss_kappa(bad)
    with pytest.raises(StudyError):
        cohen_kappa([True], [])


def test_agreement_counts_cases_that_everybody_answered():
    one = {"a": answer("a", 3), "b": answer("b", -3), "c": answer("c", 1)}
    other = {"a": answer("a", 2), "b": answer("b", 2)}
    found = agreement({"R1": one, "R2": other})
    assert found.cases == 2 and found.pairs == {"R1 and R2": pytest.approx(0.0)}
    assert found.fleiss == pytest.approx((0.5 - 0.625) / 0.375)
    assert agreement({"R1": one}) is None and agreement({"R1": one, "R2": {"z": answer("z", 1)}}) is None


def test_times_by_right_and_wrong():
    told = {n: answer(n, r, s) for n, r, s in (("a", 1, 2.0), ("b", -1, 4.0), ("c", 1, 9.0))}
    found = times(told, {"a": True, "b": True, "c": True})
    assert (found.median, found.low, found.high, found.right, found.wrong) == (4.0, 3.0, 6.5, 5.5, 4.0)


def key_of(counts: dict[str, int], shared: int = 0, numbers=lambda name, real: {}) -> Key:
    """A key with so many cases of either kind for each method; `shared` real ones serve all."""
    cases = {}
    for method, count in counts.items():
        for n in range(count):
            for kind, real in (("r", True), ("s", False)):
                name = f"{kind}{method}{n}"
                methods = tuple(counts) if real and n < shared else (method,)
                cases[name] = KeyCase(REAL if real else SIMULATED, methods, name, name, name, numbers(name, real))
    return Key("x", 0, cases)


def answers_of(key: Key, readers: int, how, seed: int = 0):
    """Reader to case to answer; `how` gives the mean rating of a case."""
    rng = np.random.default_rng(seed)
    found = {}
    for r in range(readers):
        own = {}
        for name in sorted(key.cases):
            drawn = int(np.clip(np.rint(how(name) + rng.normal(0, 2)), -5, 5)) or 1
            own[name] = answer(name, drawn)
        found[f"R{r + 1}"] = own
    return found


def test_the_bootstrap_compares_methods_over_readers_and_cases():
    key = key_of({"bad": 24, "good": 24})
    answers = answers_of(key, 3, lambda name: 3.0 if name[0] == "r" else (-3.5 if "bad" in name else 1.5))
    found = compare(answers, key, draws=600)
    assert found.how == NAME and found.cases == {"bad": 48, "good": 48}
    for method in ("bad", "good"):
        for metric, kind in (("sensitivity", REAL), ("specificity", SIMULATED)):
            rates = [np.mean([own[n].answer == kind for n in key.names(method, kind)]) for own in answers.values()]
            assert found.methods[method][metric].value == pytest.approx(np.mean(rates))
    gap = found.differences["bad minus good"]["specificity"]
    assert gap.value > 0.4 and gap.low > 0.2 and gap.p < 0.01
    same = found.differences["bad minus good"]["sensitivity"]
    assert same.low < 0 < same.high and same.p > 0.05


def test_the_bootstraps_error_is_that_of_theory_where_theory_has_one():
    """One reader: DeLong for the AUC, the binomial for the shares."""
    key = key_of({"m": 40})
    answers = answers_of(key, 1, lambda name: 1.0 if name[0] == "r" else -1.0)
    found = compare(answers, key, draws=1500)
    assert found.how == NAME_ONE
    own = answers["R1"]
    real, simulated = ([own[n].rating for n in key.names("m", kind)] for kind in (REAL, SIMULATED))
    half = 1.96 * math.sqrt(delong(real, simulated)[1])
    one = found.methods["m"]["auc"]
    assert (one.high - one.low) / 2 == pytest.approx(half, rel=0.15)
    rate = np.mean([r > 0 for r in real])
    two = found.methods["m"]["sensitivity"]
    assert (two.high - two.low) / 2 == pytest.approx(1.96 * math.sqrt(rate * (1 - rate) / 40), rel=0.2)


def test_a_method_held_against_itself_does_not_differ_and_shared_scans_count_in_both():
    key = key_of({"a": 20, "b": 20}, shared=20)
    answers = answers_of(key, 3, lambda name: 2.0 if name[0] == "r" else -1.0)
    found = compare(answers, key, draws=300)
    real = [n for n in key.cases if n.startswith("ra")]
    assert set(key.names("a", REAL)) >= set(real) and set(key.names("b", REAL)) >= set(real)
    assert found.differences["a minus b"]["auc"].p > 0.05
    del answers["R1"]["sa0"]
    assert compare(answers, key, draws=10).cases["a"] == found.cases["a"] - 1
    assert compare({"R1": {"ra0": answer("ra0", 1)}}, key) is None


def test_the_p_value_keeps_its_level():
    """Two methods of which neither is better: p below 5 % about as often as that, over drawn studies."""
    key = key_of({"a": 16, "b": 16})
    below = 0
    for seed in range(40):
        answers = answers_of(key, 3, lambda name: 1.0 if name[0] == "r" else -1.0, seed)
        below += compare(answers, key, seed, draws=150).differences["a minus b"]["auc"].p < 0.05
    assert below <= 6  # of 40; 7 or more have a chance of 0.3 % at a level of 5 %


def test_plain_readers_find_what_is_there_and_nothing_else():
    rng = np.random.default_rng(2)
    real = [{"noise_lesion": float(v), "odd": float(o), "lowest": -200.0} for v, o in rng.normal(0, 1, (24, 2))]
    simulated = [
        {"noise_lesion": float(v - 3), "odd": float(o), "lowest": -200.0} for v, o in rng.normal(0, 1, (24, 2))
    ]
    found = {one.name: one for one in plain_readers(real, simulated)}
    assert set(found) == {"noise_lesion", "odd", "lowest"}
    assert found["noise_lesion"].auc > 0.95 and found["noise_lesion"].p_holm < 1e-6
    assert found["noise_lesion"].accuracy > 0.85
    assert found["odd"].p_holm > 0.05 and 0.3 < found["odd"].accuracy < 0.7
    assert (found["lowest"].auc, found["lowest"].p, found["lowest"].accuracy) == (0.5, 1.0, 0.5)
    assert told_apart(np.array([1.0, 2, 3]), np.array([0.0, 0.5]))[0] == 1.0
    # what is learned on the others goes wrong on noise as often as it goes right
    assert np.mean([left_out_accuracy(*rng.normal(0, 1, (2, 20))) for _ in range(40)]) == pytest.approx(0.5, abs=0.06)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def test_a_reader_who_answers_by_the_noise_is_found_and_one_who_does_not_is_not():
    rng = np.random.default_rng(5)
    levels = {}

    def numbers(name, real):
        levels[name] = float(rng.normal(12, 2))
        return {"noise_lesion": levels[name], "noise_liver": float(rng.normal(12, 2))}

    key = key_of({"mewm": 24}, numbers=numbers)
    by_noise = {
        n: answer(n, max(1, min(5, round(abs(v - 12) * 1.5))) * (1 if v > 12 else -1)) for n, v in levels.items()
    }
    honest = answers_of(key, 1, lambda name: 2.0 if name[0] == "r" else -2.0)["R1"]
    found = {(one.reader, one.number): one for one in follow({"noisy": by_noise, "honest": honest}, key)}
    one = found["noisy", "noise_lesion"]
    assert one.auc > 0.99 and one.within > 0.9 and "this reader answers by the noise" in one.text
    assert not found["noisy", "noise_liver"].found and not any(o.found for (r, _), o in found.items() if r == "honest")
    # a reader who is right where noise tells the truth as well: said, and not laid at the reader's door
    told = key_of({"mewm": 24}, numbers=lambda name, real: {"noise_lesion": float(rng.normal(15 if real else 9, 1))})
    right = {n: answer(n, int(rng.integers(1, 6)) * (1 if told.is_real(n) else -1)) for n in told.cases}
    (other,) = follow({"R1": right}, told)
    assert other.found and "may answer so as well" in other.text
    assert follow({"R1": {n: answer(n, 1) for n in told.cases}}, told) == []


def test_correlation_within_kinds_is_spearmans():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    kinds = np.arange(40) < 20
    value, p = within_kinds(a, b, kinds, rng)
    expected = np.mean([stats.spearmanr(a[k], b[k]).statistic for k in (kinds, ~kinds)])
    assert value == pytest.approx(expected) and 0 < p <= 1
    assert within_kinds(np.ones(40), b, kinds, rng)[1] == 1.0
