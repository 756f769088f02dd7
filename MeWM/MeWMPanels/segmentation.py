"""Panel Segmentation: the assistant, your own segmentation, the Segment Editor, findings."""

import json

import slicer
from slicer.i18n import tr as _

from MeWMPanels.case_files import guess_segment, segments_of
from MeWMPanels.panel import Panel, fill_combo, fill_table, fit_height

_TITLES = ("Lesion", "Diameter mm", "Volume ml", "Mean HU", "Viable ml", "Necrosis %", "Lipiodol %")


class SegmentationPanel(Panel):
    """See the module's text."""

    ui_name = "Segmentation"

    def setup(self):
        ui = self.ui
        ui.findButton.clicked.connect(lambda *_args: self.front.guard(self.front.tasks.segment))
        ui.measureButton.clicked.connect(lambda *_args: self.front.guard(self.front.tasks.measure))
        ui.editButton.clicked.connect(lambda *_args: slicer.util.selectModule("SegmentEditor"))
        ui.liverBox.currentIndexChanged.connect(lambda *_args: self._chosen(ui.liverBox, "liver_segment"))
        ui.tumourBox.currentIndexChanged.connect(lambda *_args: self._chosen(ui.tumourBox, "tumour_segment"))

    def _chosen(self, box, name):
        setattr(self.parameters, name, box.itemData(box.currentIndex) or "")

    def refresh(self):
        parameters, ui = self.parameters, self.ui
        segments = segments_of(parameters.segmentation)
        ids = [segment_id for segment_id, _name in segments]
        for box, kind, name in ((ui.liverBox, "liver", "liver_segment"), (ui.tumourBox, "tumour", "tumour_segment")):
            if getattr(parameters, name) not in ids:
                # also where there are none: the segment of a former segmentation must not stay chosen
                wanted = guess_segment(parameters.segmentation, kind)
                if getattr(parameters, name) != wanted:
                    setattr(parameters, name, wanted)
            fill_combo(box, segments, getattr(parameters, name))
            box.setEnabled(bool(segments))
        busy = _("A job is running") if self.front.desk.busy else ""
        no_ct = "" if parameters.ct is not None else _("Choose a CT in the panel Patient first")
        none = "" if parameters.segmentation is not None else _("There is no segmentation yet")
        self.enable(ui.findButton, busy or no_ct)
        self.enable(ui.measureButton, busy or no_ct or none)
        self.enable(ui.editButton, none)
        self._show_findings(json.loads(parameters.findings) if parameters.findings else None)

    def _show_findings(self, findings):
        table = self.ui.findingsTable
        table.setVisible(bool(findings and findings["lesions"]))
        if findings is None:
            self.ui.findingsLabel.setText(_("Not measured yet."))
            return
        rows = [
            (
                str(lesion["index"]),
                f"{lesion['longest_axial_diameter_mm']:.0f}",
                f"{lesion['volume_ml']:.1f}",
                f"{lesion['mean_hu']:.0f}",
                f"{lesion['viable_ml']:.1f}",
                f"{100 * lesion['necrotic_fraction']:.0f}",
                f"{100 * lesion['lipiodol_fraction']:.0f}",
            )
            for lesion in findings["lesions"]
        ]
        fill_table(table, [_(title) for title in _TITLES], rows)
        fit_height(table, 5)
        total = sum(lesion["volume_ml"] for lesion in findings["lesions"])
        self.ui.findingsLabel.setText(
            _("Liver")
            + f" {findings['liver_ml']:.0f} ml, "
            + _("tumour")
            + f" {total:.1f} ml. "
            + _("The largest lesion is the one that is treated.")
        )
