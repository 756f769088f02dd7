"""Panel Segmentation: the segmenter, your own segmentation, the Segment Editor, findings, and what is to be treated."""

import qt
from slicer.i18n import tr as _

from MeWMPanels.case_files import guess_segment, segments_of
from MeWMPanels.editor import open_editor
from MeWMPanels.node_texts import findings_of, ticked_lesions
from MeWMPanels.panel import Panel, fill_combo, fill_table
from MeWMPanels.treated import TreatedSection


def _columns():
    """Columns of the table: title, field of a lesion, factor, digits."""
    return (
        (_("Lesion"), "index", 1, 0),
        (_("Diameter mm"), "longest_axial_diameter_mm", 1, 0),
        (_("Volume ml"), "volume_ml", 1, 1),
        (_("Mean HU"), "mean_hu", 1, 0),
        (_("Viable ml"), "viable_ml", 1, 1),
        (_("Necrosis %"), "necrotic_fraction", 100, 0),
        (_("Lipiodol %"), "lipiodol_fraction", 100, 0),
    )


def _shown(value, factor, digits):
    """A number of a lesion; a dash where the contrast phase does not tell it."""
    return "-" if value is None else f"{factor * value:.{digits}f}"


class SegmentationPanel(Panel):
    """See the module's text."""

    ui_name = "Segmentation"

    def setup(self):
        self.on_click(
            findButton=lambda: self.front.tasks.segment(),
            measureButton=lambda: self.front.tasks.measure(),
            editButton=lambda: open_editor(self.parameters.segmentation, self.parameters.ct),
        )
        self.on_choice(
            liverBox=lambda segment: self._choose("liver", segment),
            tumourBox=lambda segment: self._choose("tumour", segment),
        )
        ui = self.ui
        self.treated = TreatedSection(self)
        ui.findingsTable.itemChanged.connect(lambda *_args: self._ticked())
        ui.findingsTable.itemSelectionChanged.connect(lambda *_args: self._go_to_row())

    def _choose(self, kind, segment):
        setattr(self.parameters, f"{kind}_segment", segment or "")

    def _ticked(self):
        table = self.ui.findingsTable
        ticked = [str(n + 1) for n in range(table.rowCount) if table.item(n, 0).checkState() == qt.Qt.Checked]
        self.parameters.targets = ",".join(ticked)
        self.treated.show_text()

    def _go_to_row(self):
        lesions, row = findings_of(self.parameters.findings)["lesions"], self.ui.findingsTable.currentRow()
        if 0 <= row < len(lesions) and not self.front.findings_outdated:
            self.front.views.to_lesion(lesions[row]["centre_ras_mm"])

    def refresh(self):
        parameters, ui = self.parameters, self.ui
        segments = segments_of(parameters.segmentation)
        for kind, box in (("liver", ui.liverBox), ("tumour", ui.tumourBox)):
            chosen = getattr(parameters, f"{kind}_segment")
            if chosen not in dict(segments):
                # also where there are none: the segment of a former segmentation must not stay chosen
                wanted = guess_segment(parameters.segmentation, kind)
                if wanted != chosen:
                    self._choose(kind, wanted)
                chosen = wanted
            fill_combo(box, segments, chosen)
            box.setEnabled(bool(segments))
        busy = self.front.busy
        no_ct = "" if parameters.ct is not None else _("Choose a CT in the panel Patient first")
        none = "" if parameters.segmentation is not None else _("There is no segmentation yet")
        self.enable_each(findButton=busy or no_ct, measureButton=busy or no_ct or none, editButton=none)
        self._show_findings(findings_of(parameters.findings))
        self.treated.refresh(segments)

    def _show_findings(self, findings):
        lesions, table = findings["lesions"], self.ui.findingsTable
        columns = _columns()
        rows = [[_shown(one[field], factor, digits) for _t, field, factor, digits in columns] for one in lesions]
        tips = [one["location"] for one in lesions]
        fill_table(table, [title for title, *_rest in columns], rows, tips, most=5)
        ticked = ticked_lesions(self.parameters)
        table.blockSignals(True)
        for row, one in enumerate(lesions):
            item = table.item(row, 0)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Checked if one["index"] in ticked else qt.Qt.Unchecked)
        table.blockSignals(False)
        text = _("Not measured yet.")
        if "liver_ml" in findings:
            text = _("Liver {liver:.0f} ml, tumour {tumour:.1f} ml.")
            text = text.format(liver=findings["liver_ml"], tumour=sum(one["volume_ml"] for one in lesions))
            asked = [f"{one['severity'].capitalize()}: {one['text']}" for one in findings.get("questions", [])]
            text = "\n".join([text, *asked])
            outdated = self.front.findings_outdated
            if outdated:
                again = _("Outdated: {reason} Press Measure lesions.").format(reason=outdated)
                text = f"{again}\n{text}"
        self.ui.findingsLabel.setText(text)
