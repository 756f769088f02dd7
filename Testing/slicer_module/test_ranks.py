"""What the panels say first of a ranked protocol, what lies below it, and what the order goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from MeWMLib.core.written import Criterion, Sample, WrittenNumbers


@pytest.fixture
def settings(host: Any) -> Any:
    """The user's settings, put back afterwards."""
    import slicer

    found = slicer.app.userSettings()
    found.remove("MeWM/OutcomeDetails")
    yield found
    found.remove("MeWM/OutcomeDetails")


@pytest.fixture
def explored(settings: Any, user: Any) -> Any:
    """A user before ranked protocols."""
    user.load_sample()
    user.simulate("Cisplatin + Lipiodol", "Epirubicin + PVA")
    return user


def _written() -> WrittenNumbers:
    criteria = (
        Criterion("RECIST 1.1", "PD", ("a sum that grows",)),
        Criterion("mRECIST", None, ("the phase",)),
        Criterion("LI-RADS treatment response, lesion 1", "Viable", ("it enhances",)),
    )
    return WrittenNumbers(Sample(0, 1), "arterial", 9, 8, 7, 6, 1, 0.5, 0, 30, 29, criteria=criteria)


def test_what_is_needed_first_is_seen_and_the_rest_is_below(explored):
    from MeWMPanels import ranks

    from MeWMLib.core.comparison import Comparison
    from MeWMLib.core.outcome_words import apart_line

    document = explored.front.comparison.document
    first = document.plan.candidates[0]
    grown = replace(first.tumour_change, viable_ml_after=first.tumour_change.viable_ml_before + 5)
    candidate = replace(first, written=_written(), tumour_change=grown)
    seen, below = ranks.summary_of(document, candidate), ranks.details_of(document, candidate, 7)
    for text in (first.protocol.text, first.risk.text, "RECIST 1.1: PD.", "mRECIST: not judged.", "viable"):
        assert text in seen, text
    assert grown.growth and all(text in seen and text not in below for text in grown.growth)
    for text in ("median survival", "a sum that grows", "LI-RADS", "Seed 7", document.numbers.picture):
        assert text in below and text not in seen, text
    # whether rank 1 is told apart is seen at every rank, and once
    plan = replace(document.plan, comparison=Comparison())
    apart = apart_line(plan)
    for rank in (1, 2):
        ranked = (replace(document, plan=plan), replace(candidate, rank=rank))
        assert apart in ranks.summary_of(*ranked) and apart not in ranks.details_of(*ranked, 7)
    label = explored.front.outcome.ui.detailsLabel.text
    assert "median survival" in label and "median survival" not in explored.front.outcome.ui.summaryLabel.text


def test_whether_details_are_unfolded_is_remembered(explored, settings):
    fold = explored.widget("outcome", "detailsFold")
    assert fold.collapsed
    for unfolded in (True, False):
        fold.click()
        assert fold.collapsed is not unfolded
        again = type(explored.front.outcome)(explored.front)
        assert again.ui.detailsFold.collapsed is not unfolded


def test_the_table_shows_the_score_that_ranks(explored):
    """With weights, rank 3 may have a lower risk than rank 1."""
    panel = explored.front.exploration

    def titles() -> list[str]:
        table = panel.ui.rankTable
        return [table.horizontalHeaderItem(n).text() for n in range(table.columnCount)]

    plain = panel.candidates
    assert "Score" not in titles() and "Ranked by log-risk" in panel.ui.rankLabel.text
    panel.show_candidates([replace(one, utility=n + 0.25) for n, one in enumerate(plain)])
    column = titles().index("Score")
    cells = [panel.ui.rankTable.item(n, column).text() for n in range(len(plain))]
    assert cells == ["+0.25", "+1.25"] and "Ranked by score" in panel.ui.rankLabel.text
    assert "weights" in panel.ui.rankTable.horizontalHeaderItem(column).toolTip()
    panel.show_candidates(())
    assert panel.ui.rankLabel.text == ""
