"""Panel Patient: the CT, its phase, clinical data, an optional CT after treatment, and the sample."""

import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.scene.nodes import image_of_array, volume_to_node
from MeWMPanels import samples
from MeWMPanels.panel import Panel, fill_combo, keep_narrow


class PatientPanel(Panel):
    """See the module's text."""

    ui_name = "Patient"

    def setup(self):
        fill_combo(self.ui.sampleBox, [(name, _(title)) for name, title in samples.TITLES.items()], "synthetic")
        keep_narrow(self.ui.sampleBox)
        self.ui.sampleBox.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        self.ui.sampleButton.clicked.connect(lambda *_args: self.front.guard(self.load_sample))
        self.ui.dicomButton.clicked.connect(lambda *_args: slicer.util.selectModule("DICOM"))

    def load_sample(self):
        """Load the chosen sample on a thread, then fill the panels."""
        name = self.ui.sampleBox.itemData(self.ui.sampleBox.currentIndex)
        desk = self.front.desk
        desk.begin(_("Loading the sample"))

        def load():
            sample, post = samples.load(name, self.front.load_sample)
            return sample, samples.prepare(sample), post, image_of_array(post.array) if post is not None else None

        def add(loaded):
            sample, prepared, post, image = loaded
            ct, segmentation = samples.add_to_scene(slicer.mrmlScene, sample, prepared)
            parameters = self.parameters
            parameters.phase = sample.ct.phase
            parameters.ct, parameters.segmentation = ct, segmentation
            if post is not None:
                name_after = f"Sample {sample.name}, " + _("after") + f" {samples.TREATED_WITH}"
                parameters.post_ct = volume_to_node(slicer.mrmlScene, post, name_after, image)
            desk.say(sample.terms)
            desk.end()
            self.front.go_to_lesion()

        desk.aside(load, add)

    def refresh(self):
        node = self.parameters.ct
        self.enable(self.ui.sampleButton, _("A job is running") if self.front.desk.busy else "")
        if node is None:
            text = _("No CT is chosen yet. Load the sample to try MeWM.")
        elif node.GetImageData() is None:
            text = _("The chosen volume holds no voxels.")
        else:
            i, j, k = node.GetImageData().GetDimensions()
            spacing = " x ".join(f"{s:.2f}" for s in node.GetSpacing())
            text = f"{i} x {j} x {k} " + _("voxels of") + f" {spacing} mm"
            if node.GetParentTransformNode() is not None:
                text += ". " + _("It lies under a transform: harden it before (right click in the Data module).")
        self.ui.patientLabel.setText(text)
