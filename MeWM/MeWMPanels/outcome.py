"""Panel Outcome: risk, survival and tumour change of a protocol, and the ways to look at it."""

import math
from html import escape
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.core.written import judged_lesions
from MeWMPanels import dicom_export, lesion, ranks, results
from MeWMPanels.ink import BAD, inked
from MeWMPanels.mine import MineSection
from MeWMPanels.panel import Panel, fill_combo, show_text
from MeWMPanels.reports import folder_in
from MeWMPanels.views import rank_of

#: Where the user's settings say that the details are unfolded.
_DETAILS, _OPEN = "MeWM/OutcomeDetails", "open"


class OutcomePanel(Panel):
    """See the module's text. What it shows is read from the nodes of a comparison."""

    ui_name = "Outcome"

    def setup(self):
        self._assessment = self._report = self._exported = ""
        #: Tells whether the assessment still holds.
        self._judged = None
        self.mine = MineSection(self.front, self.ui.mineWidget)
        self.ui.keysLabel.setText(self.front.keys.help)
        settings = slicer.app.userSettings()
        self.ui.detailsFold.collapsed = settings.value(_DETAILS) != _OPEN
        self.ui.detailsFold.contentsCollapsed.connect(
            lambda folded: settings.setValue(_DETAILS, "" if folded else _OPEN)
        )
        self.on_choice(comparisonBox=self._choose_comparison, rankBox=self._choose_rank)
        self.ui.flickerBox.toggled.connect(self._flicker)
        self.on_click(
            lesionButton=lambda: self.front.go_to_lesion(),
            curvesButton=lambda: self.front.comparison.show_chart("survival chart"),
            reportButton=self._write_report,
            exportButton=lambda: dicom_export.export(self.front, self.widget, self._show_exported),
            assessButton=lambda: self.front.tasks.assess(self.show_assessment),
        )

    def _flicker(self, on):
        self.front.views.flicker(on)
        if not on:
            self.front.show_views()

    def _choose_comparison(self, comparison_id):
        for comparison in results.all_comparisons(slicer.mrmlScene):
            if comparison.id == comparison_id:
                self.front.open_comparison(comparison)

    def _choose_rank(self, rank):
        if rank is not None:
            self.front.show_rank(rank)

    def _write_report(self):
        """Write the report of the comparison that is shown into a new folder in a folder that the user chooses."""
        scene_file = slicer.mrmlScene.GetURL()
        start = str(Path(scene_file).parent) if scene_file else slicer.app.temporaryPath
        chosen = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder for the report"), start)
        if not chosen:
            return
        comparison = self.front.comparison
        self._report = ""

        def show(path):
            link = qt.QUrl.fromLocalFile(str(path)).toString()
            anchor = f'<a href="{escape(link)}">{escape(str(path))}</a>'
            self._report = _("The report: {link}").format(link=anchor)
            self.refresh()

        self.front.tasks.report(comparison, folder_in(chosen, comparison.id), show)

    def _show_exported(self, text):
        self._exported = text
        self.refresh()

    def show_assessment(self, result, judged):
        """Show what a real CT after treatment told, and `judged`, which says whether that still holds."""
        low, high = result["risk_interval"] or (0.0, 0.0)
        risk, median = result["risk"], result["median_survival_months"]
        self._assessment = _(
            "From the real CT after treatment: predicted risk {risk:+.2f}{span} (hazard ratio {ratio:.2f}), "
            "median survival {median}."
        ).format(
            risk=risk,
            span=f" ({low:+.2f} ... {high:+.2f})" if low != high else "",
            ratio=math.exp(risk),
            median=_("{n:.1f} months").format(n=median) if median is not None else _("not reached"),
        )
        self._assessment += "\n" + "\n".join(_response_lines(result))
        self._judged = judged
        self.refresh()

    def forget(self):
        """The scene was closed."""
        self._assessment = self._report = self._exported = ""
        self._judged = None
        self.mine.forget()
        self.ui.flickerBox.setChecked(False)

    def refresh(self):
        ui, comparison = self.ui, self.front.comparison
        pairs = [(c.id, self._title(c)) for c in results.all_comparisons(slicer.mrmlScene)]
        fill_combo(ui.comparisonBox, pairs, comparison.id if comparison else None)
        candidates = comparison.candidates if comparison else ()
        kept = comparison.kept if comparison else ()
        shown = self.front.shown_rank
        fill_combo(ui.rankBox, [(c.rank, self._rank_text(c, kept)) for c in candidates], shown)
        candidate = next((c for c in candidates if c.rank == shown), None)
        nothing = _("Nothing has been simulated yet: press Simulate or Explore protocols.")
        seed = comparison.document.seed if comparison else ""
        text = ranks.summary_of(comparison.document, candidate) if candidate else nothing
        ui.detailsLabel.setText(ranks.details_of(comparison.document, candidate, seed) if candidate else "")
        ui.detailsFold.setVisible(candidate is not None)
        outdated = self.front.comparison_outdated
        if candidate and outdated:
            badge = _("Outdated: {reason}").format(reason=outdated)
            text = inked(BAD, f"<b>{escape(badge)}</b>") + "<br>" + text
        ui.summaryLabel.setText(text)
        seen = comparison is not None and comparison.node("simulated") is not None
        for widget in (ui.comparisonBox, ui.rankBox):
            widget.setEnabled(comparison is not None)
        for widget in (ui.fadeSlider, ui.mapBox, ui.layoutBox, ui.flickerBox, ui.outlinesBox, ui.surfacesBox):
            widget.setEnabled(seen)
        self._explain_map(comparison)
        reason = "" if comparison else nothing
        chart = comparison is not None and comparison.node("survival chart") is not None
        post = "" if self.parameters.post_ct is not None else _("Choose a CT after treatment in the panel Patient")
        self.enable_each(
            lesionButton="" if lesion.is_known(self.front) else _("No lesion is known yet"),
            curvesButton=reason or ("" if chart else _("There are no survival curves")),
            assessButton=self.front.cannot_simulate or post,
            reportButton=self.front.busy or reason,
            exportButton=self.front.busy or reason,
        )
        show_text(ui.reportLabel, self._report)
        show_text(ui.exportLabel, self._exported)
        show_text(ui.assessLabel, self._assessment_now())

    def _assessment_now(self):
        """What the real CT told, with a badge where it was computed from something else than what is chosen now."""
        outdated = " ".join(self._judged.reasons(self.front.watch, self.parameters)) if self._judged else ""
        badge = _("Outdated: {reason}").format(reason=outdated) + "\n" if outdated else ""
        return badge + self._assessment

    def _title(self, comparison):
        title = comparison.title
        return _("{title} [outdated]").format(title=title) if self.front.outdated(comparison) else title

    def _explain_map(self, comparison):
        """Say in the tool tip of the map which rank the uncertainty belongs to."""
        tip = _("Difference in HU, or standard deviation over the replicas, with a legend")
        rank = rank_of(comparison.node("uncertainty")) if comparison else None
        if rank not in (None, self.front.shown_rank):
            only = _("Uncertainty is available only for rank {rank}").format(rank=rank)
            tip = f"{tip}. {only}"
        self.ui.mapBox.setToolTip(tip)

    @staticmethod
    def _rank_text(candidate, kept):
        # the risk stands below with its interval: a number without it is not shown, and both would be cut off
        text = f"{candidate.rank}.  {candidate.protocol.text}"
        return text if candidate.rank in kept else _("{rank}  [no volume]").format(rank=text)


def _response_lines(result):
    """How the CT after treatment fits, and the response by each criterion, one line each."""
    found = result["registration"]
    yield _("Registration: {word} ({text}).").format(word=found["word"], text=found["text"])
    for one in (result["recist"], result["mrecist"]):
        text = _("{criterion}: {category} ({reasons}).")
        if not one["category"]:
            text = _("{criterion}: cannot be judged ({reasons}).")
        yield text.format(criterion=one["criterion"], category=one["category"], reasons="; ".join(one["reasons"]))
    for one in judged_lesions(result):
        text = _("Lesion {n}: {category} ({reasons}).")
        lesion = one.name.rpartition("lesion")[2].lstrip("s ")
        yield text.format(n=lesion, category=one.category, reasons="; ".join(one.reasons))
