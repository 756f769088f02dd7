"""Panel Exploration: goal and settings of the search, Start that becomes Cancel, ranks that fill while it runs."""

from slicer.i18n import tr as _

from MeWMPanels import ranks
from MeWMPanels.panel import Panel, fill_table, fit_height


class ExplorationPanel(Panel):
    """See the module's text."""

    ui_name = "Exploration"

    def setup(self):
        self.candidates = ()
        self._mine = False
        ui = self.ui
        ui.exploreButton.clicked.connect(lambda *_args: self._start_or_cancel())
        ui.rankTable.itemSelectionChanged.connect(self._selected)
        ui.treeButton.clicked.connect(lambda *_args: self.front.comparison.show_chart("search chart"))
        ui.adoptButton.clicked.connect(lambda *_args: self._adopt())
        self.show_candidates(())

    def _start_or_cancel(self):
        if self._mine and self.front.desk.busy:
            self.front.desk.cancel()
            return
        self._mine = True
        self.front.guard(self.front.tasks.explore)
        self.refresh()

    def show_candidates(self, candidates):
        """Show what the search has so far."""
        self.candidates = tuple(candidates)
        rows = [ranks.row_of(c) for c in self.candidates]
        table = self.ui.rankTable
        tips = [ranks.tip_of(c) for c in self.candidates]
        title_tips = [_(t) for t in ranks.TITLE_TIPS]
        fill_table(table, [_(t) for t in ranks.TITLES], rows, tips, 1, title_tips)
        table.setVisible(bool(rows))
        fit_height(table)
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
        self.front.actions.add(_("Rank") + f" {candidate.rank}", candidate.protocol)

    def _show_label(self):
        candidate, comparison = self._row(), self.front.comparison
        if not self.candidates:
            text = ""
        elif self.front.desk.busy and self._mine:
            text = _("The table changes until the search has ended; then a click on a row shows it.")
        elif candidate is None:
            text = _("Click a row to see it.")
        elif comparison is not None and candidate.rank in comparison.kept:
            text = _("Shown in the views: rank") + f" {candidate.rank}. " + _("More in the panel Outcome.")
        else:
            text = _("No simulated CT of this rank was kept. Add it to your protocols and simulate it to see it.")
        self.ui.rankLabel.setText(text)
        searched = comparison is not None and comparison.node("search chart") is not None
        self.enable(self.ui.treeButton, "" if searched else _("Explore protocols first"))
        self.enable(self.ui.adoptButton, "" if candidate is not None else _("Select a row first"))

    def refresh(self):
        desk, button = self.front.desk, self.ui.exploreButton
        if not desk.busy:
            self._mine = False
        if self._mine:
            button.setText(_("Stopping...") if desk.state.cancelling else _("Cancel (keeps the best so far)"))
            self.enable(button, _("The best so far is being saved") if desk.state.cancelling else "")
        else:
            button.setText(_("Explore protocols"))
            self.enable(button, _("A job is running") if desk.busy else self.front.missing_for_simulation())
        self._show_label()
