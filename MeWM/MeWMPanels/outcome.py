"""Panel Outcome: risk, survival and tumour change of a protocol, and the ways to look at it."""

from html import escape
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MeWMPanels import ranks, results
from MeWMPanels.panel import Panel, fill_combo, keep_narrow
from MeWMPanels.reports import folder_in


class OutcomePanel(Panel):
    """See the module's text. What it shows is read from the nodes of a comparison."""

    ui_name = "Outcome"

    def setup(self):
        ui = self.ui
        self._assessment = self._report = ""
        keep_narrow(ui.comparisonBox, ui.rankBox)
        ui.comparisonBox.currentIndexChanged.connect(lambda *_args: self._choose_comparison())
        ui.rankBox.currentIndexChanged.connect(lambda *_args: self._choose_rank())
        ui.flickerBox.toggled.connect(lambda on: self.front.views.flicker(on))
        ui.flickerBox.toggled.connect(lambda on: on or self.front.show_views())
        ui.lesionButton.clicked.connect(lambda *_args: self.front.go_to_lesion())
        ui.curvesButton.clicked.connect(lambda *_args: self.front.comparison.show_chart("survival chart"))
        ui.reportButton.clicked.connect(lambda *_args: self._browse_report())
        ui.assessButton.clicked.connect(lambda *_args: self.front.guard(self._assess))

    def _choose_comparison(self):
        comparison_id = self.ui.comparisonBox.itemData(self.ui.comparisonBox.currentIndex)
        for comparison in results.all_comparisons(slicer.mrmlScene):
            if comparison.id == comparison_id:
                self.front.open_comparison(comparison)

    def _choose_rank(self):
        rank = self.ui.rankBox.itemData(self.ui.rankBox.currentIndex)
        if rank is not None:
            self.front.show_rank(rank)

    def _browse_report(self):
        scene_file = slicer.mrmlScene.GetURL()
        start = str(Path(scene_file).parent) if scene_file else slicer.app.temporaryPath
        chosen = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder for the report"), start)
        if chosen:
            self.front.guard(lambda: self.write_report(chosen))

    def write_report(self, chosen):
        """Write the report of the comparison that is shown into a new folder in the folder that was chosen."""
        comparison = self.front.comparison
        self._report = ""

        def show(path):
            link = qt.QUrl.fromLocalFile(str(path)).toString()
            self._report = _("The report:") + f' <a href="{escape(link)}">{escape(str(path))}</a>'
            self.refresh()

        self.front.tasks.report(comparison, folder_in(chosen, comparison.id), show)

    def _assess(self):
        def show(result):
            low, high = result["risk_interval"]
            span = f" ({low:+.2f} ... {high:+.2f})" if low != high else ""
            median = result["median_survival_months"]
            months = f"{median:g} " + _("months") if median is not None else _("not reached")
            self._assessment = (
                _("From the real CT after treatment: predicted risk")
                + f" {result['risk']:+.2f}{span}, "
                + _("median survival")
                + f" {months}."
            )
            self.refresh()

        self.front.tasks.assess(show)

    def forget(self):
        """The scene was closed."""
        self._assessment = self._report = ""
        self.ui.flickerBox.setChecked(False)

    def refresh(self):
        ui, comparison = self.ui, self.front.comparison
        found = results.all_comparisons(slicer.mrmlScene)
        pairs = [(c.id, c.title) for c in found]
        fill_combo(ui.comparisonBox, pairs, comparison.id if comparison else None)
        candidates = comparison.candidates if comparison else ()
        kept = comparison.kept if comparison else ()
        shown = self.front.shown_rank
        fill_combo(ui.rankBox, [(c.rank, self._rank_text(c, kept)) for c in candidates], shown)
        candidate = next((c for c in candidates if c.rank == shown), None)
        seed = comparison.document.seed if comparison else ""
        nothing = _("Nothing is simulated yet: press Simulate or Explore protocols.")
        ui.summaryLabel.setText(ranks.summary_of(candidate, seed) if candidate else nothing)
        reason = "" if comparison else nothing
        seen = comparison is not None and comparison.node("simulated") is not None
        for widget in (ui.comparisonBox, ui.rankBox):
            widget.setEnabled(comparison is not None)
        for widget in (ui.fadeSlider, ui.mapBox, ui.layoutBox, ui.flickerBox, ui.outlinesBox, ui.surfacesBox):
            widget.setEnabled(seen)
        self._explain_map(comparison)
        self.enable(ui.lesionButton, "" if self.front.lesion_centre() is not None else _("No lesion is known yet"))
        chart = comparison.node("survival chart") if comparison else None
        self.enable(ui.curvesButton, reason or ("" if chart else _("There are no survival curves")))
        busy = _("A job is running") if self.front.desk.busy else self.front.missing_for_simulation()
        post = "" if self.parameters.post_ct is not None else _("Choose a CT after treatment in the panel Patient")
        self.enable(ui.assessButton, busy or post)
        running = _("A job is running") if self.front.desk.busy else ""
        self.enable(ui.reportButton, running or reason)
        ui.reportLabel.setText(self._report)
        ui.reportLabel.setVisible(bool(self._report))
        ui.assessLabel.setText(self._assessment)
        ui.assessLabel.setVisible(bool(self._assessment))

    def _explain_map(self, comparison):
        """Say in the tool tip of the map which rank the uncertainty belongs to."""
        tip = _("Difference in HU, or standard deviation over the replicas, with a legend")
        node = comparison.node("uncertainty") if comparison else None
        if node is not None and node.GetAttribute("MeWM.Rank") != str(self.front.shown_rank):
            tip += ". " + _("The uncertainty is there for rank") + f" {node.GetAttribute('MeWM.Rank')} " + _("only")
        self.ui.mapBox.setToolTip(tip)

    @staticmethod
    def _rank_text(candidate, kept):
        text = f"{candidate.rank}.  {candidate.protocol.text}   ({candidate.risk.text})"
        return text if candidate.rank in kept else text + "  " + _("[no volume]")
