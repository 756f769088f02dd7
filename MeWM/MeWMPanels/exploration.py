"""Panel Exploration: goal and settings of the search, Start that becomes Cancel, ranks that fill while it runs."""

from html import escape

from slicer.i18n import tr as _

from MeWMLib.core.errors import MeWMError
from MeWMPanels import ranks
from MeWMPanels.ink import WARNING, inked
from MeWMPanels.node_texts import goal_of
from MeWMPanels.panel import Panel, fill_table, show_text
from MeWMPanels.words import sentences


class ExplorationPanel(Panel):
    """See the module's text."""

    ui_name = "Exploration"

    def setup(self):
        #: True while the job that runs is the search, and not one of another panel.
        self._mine = False
        self.on_click(
            exploreButton=self._start_or_cancel,
            acceptButton=self._accept_goal,
            treeButton=lambda: self.front.comparison.show_chart("search chart"),
            adoptButton=self._adopt,
        )
        self.ui.rankTable.itemSelectionChanged.connect(self._selected)
        self.show_candidates(())

    def _start_or_cancel(self):
        if self._mine and self.front.desk.busy:
            self.front.desk.cancel()
        else:
            self._mine = True
            chosen = self.front.actions.selected if self.ui.mineBox.checked else None
            self.front.tasks.explore(chosen[1] if chosen else None)

    def _accept_goal(self):
        pack = self.parameters.exploration
        pack.accepted_goal = pack.goal
        self.refresh()

    def _show_goal(self):
        """Show how the goal was understood; returns why no search may start with it, or ""."""
        try:
            _clinical, goal = goal_of(self.parameters)
        except MeWMError as error:
            # clinical data that are not possible: the job says so in its dialog
            show_text(self.ui.goalLabel, escape(str(error)))
            self.ui.acceptButton.setVisible(False)
            return ""
        pack = self.parameters.exploration
        open_end = bool(goal.questions) and pack.accepted_goal != pack.goal
        lines = [escape(line) for line in goal.lines] if goal.text.strip() else []
        question = _("<b>Question:</b> {text}")
        lines += [inked(WARNING, question.format(text=escape(q))) for q in goal.questions]
        show_text(self.ui.goalLabel, "<br>".join(lines))
        self.ui.acceptButton.setVisible(open_end)
        return _("The goal leaves a question open: change it, or confirm its reading") if open_end else ""

    def show_candidates(self, candidates):
        """Show what the search has so far."""
        self.candidates = tuple(candidates)
        titles, title_tips, rows = ranks.table_of(self.candidates)
        fill_table(self.ui.rankTable, titles, rows, [ranks.tip_of(c) for c in self.candidates], 1, title_tips)
        self._show_label()

    def _row(self):
        row = self.ui.rankTable.currentRow()
        return self.candidates[row] if 0 <= row < len(self.candidates) else None

    def _selected(self):
        candidate = self._row()
        if candidate is not None and not self.front.desk.busy:
            self.front.show_rank(candidate.rank)
        self._show_label()

    def _adopt(self):
        candidate = self._row()
        self.front.actions.add(_("Rank {rank}").format(rank=candidate.rank), candidate.protocol.fed(None))

    def _show_label(self):
        candidate, comparison = self._row(), self.front.comparison
        if not self.candidates:
            text = ""
        elif self.front.desk.busy and self._mine:
            text = _("The table changes until the search has ended. Then click a row to see it.")
        elif candidate is None:
            text = _("Click a row to see it.")
        elif comparison is not None and candidate.rank in comparison.kept:
            text = _("Shown in the views: rank {rank}. More in the panel Outcome.").format(rank=candidate.rank)
        else:
            text = _("No simulated CT of this rank was kept. To see it, add it to your protocols and simulate it.")
        outdated = "" if self.front.desk.busy or self.parameters is None else self.front.comparison_outdated
        if self.candidates and outdated:
            text = sentences(_("Outdated: {reason}").format(reason=outdated), text)
        if self.candidates:
            text = sentences(ranks.ranked_by(ranks.by_score(self.candidates)), text)
        self.ui.rankLabel.setText(text)
        searched = comparison is not None and comparison.node("search chart") is not None
        self.enable_each(
            treeButton="" if searched else _("Explore protocols first"),
            adoptButton="" if candidate is not None else _("Select a row first"),
        )

    def refresh(self):
        self._mine = self._mine and self.front.desk.busy
        goal_reason = self._show_goal()
        if not self._mine:
            text, reason = _("E&xplore protocols"), self.front.cannot_simulate or goal_reason
        elif self.front.desk.state.cancelling:
            text, reason = _("&Stopping..."), _("The best so far is being saved")
        else:
            text, reason = _("&Cancel (keeps the best so far)"), ""
        self.ui.exploreButton.setText(text)
        self.enable_each(
            exploreButton=reason,
            mineBox="" if self.front.actions.selected else _("Put a protocol together in Actions first"),
        )
        self._show_label()
