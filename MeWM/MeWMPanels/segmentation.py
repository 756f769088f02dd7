"""Panel Segmentation: the segmenter, your own segmentation, the Segment Editor, findings."""

import slicer
from slicer.i18n import tr as _

from MeWMPanels.case_files import guess_segment, segments_of
from MeWMPanels.panel import Panel, fill_combo, fill_table
from MeWMPanels.tasks import findings_of

#: Columns of the table: title, field of a lesion, factor, digits.
_COLUMNS = (
    ("Lesion", "index", 1, 0),
    ("Diameter mm", "longest_axial_diameter_mm", 1, 0),
    ("Volume ml", "volume_ml", 1, 1),
    ("Mean HU", "mean_hu", 1, 0),
    ("Viable ml", "viable_ml", 1, 1),
    ("Necrosis %", "necrotic_fraction", 100, 0),
    ("Lipiodol %", "lipiodol_fraction", 100, 0),
)


class SegmentationPanel(Panel):
    """See the module's text."""

    ui_name = "Segmentation"

    def setup(self):
        self.on_click(
            findButton=lambda: self.front.tasks.segment(),
            measureButton=lambda: self.front.tasks.measure(),
            editButton=lambda: slicer.util.selectModule("SegmentEditor"),
        )
        self.on_choice(
            liverBox=lambda segment: self._choose("liver", segment),
            tumourBox=lambda segment: self._choose("tumour", segment),
        )

    def _choose(self, kind, segment):
        setattr(self.parameters, f"{kind}_segment", segment or "")

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

    def _show_findings(self, findings):
        lesions = findings["lesions"]
        rows = [[f"{factor * one[field]:.{digits}f}" for _t, field, factor, digits in _COLUMNS] for one in lesions]
        fill_table(self.ui.findingsTable, [title for title, *_rest in _COLUMNS], rows, most=5)
        text = _("Not measured yet.")
        if "liver_ml" in findings:
            text = _("Liver {liver:.0f} ml, tumour {tumour:.1f} ml. The largest lesion is the one that is treated.")
            text = text.format(liver=findings["liver_ml"], tumour=sum(one["volume_ml"] for one in lesions))
            text = "\n".join([text, *(f"{one['severity']}: {one['text']}" for one in findings.get("questions", []))])
        self.ui.findingsLabel.setText(text)
