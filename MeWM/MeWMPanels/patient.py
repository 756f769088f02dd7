"""Panel Patient: the CT, its phase, clinical data, an optional CT after treatment, and the sample."""

import slicer
from slicer.i18n import tr as _

from MeWMLib.scene.nodes import image_of_array, volume_to_node
from MeWMPanels import dicom_files, samples
from MeWMPanels.panel import Panel, fill_combo
from MeWMPanels.patient_fields import add_clinical_widgets
from MeWMPanels.words import sample_title, sentences


class PatientPanel(Panel):
    """See the module's text."""

    ui_name = "Patient"

    def setup(self):
        self._checked, self._warning = "", ""
        #: Widgets of the clinical fields by their names.
        self.clinical = add_clinical_widgets(self.ui.clinicalFold.layout())
        for name, widget in self.clinical.items():
            setattr(self.ui, f"clinical_{name}", widget)
        fill_combo(
            self.ui.sampleBox,
            [(name, sample_title(name, title)) for name, title in samples.TITLES.items()],
            "synthetic",
        )
        self.on_click(sampleButton=self.load_sample, dicomButton=lambda: slicer.util.selectModule("DICOM"))

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
            parameters = self.parameters
            parameters.ct, parameters.segmentation = samples.add_to_scene(slicer.mrmlScene, sample, prepared)
            parameters.phase = sample.ct.phase
            if post is not None:
                after = _("Sample {name}, after {protocol}").format(name=sample.name, protocol=samples.given(name))
                parameters.post_ct = volume_to_node(slicer.mrmlScene, post, after, image)
            desk.say(sample.terms)
            desk.end()
            self.front.go_to_lesion()

        desk.aside(load, add)

    def refresh(self):
        node = self.parameters.ct
        self.enable_each(sampleButton=self.front.busy)
        if node is None:
            text = _("No CT has been chosen yet. Load the sample to try MeWM.")
        elif node.GetImageData() is None:
            text = _("The chosen volume is empty.")
        else:
            size = " x ".join(f"{n}" for n in node.GetImageData().GetDimensions())
            spacing = " x ".join(f"{s:.2f}" for s in node.GetSpacing())
            text = _("{size} voxels of {spacing} mm.").format(size=size, spacing=spacing)
            if node.GetParentTransformNode() is not None:
                moved = _("It is under a transform: harden that first (right click in the Data module).")
                text = sentences(text, moved)
            self._check(node)
            if self._warning:
                text = f"{text}\n{self._warning}"
        self.ui.patientLabel.setText(text)

    def _check(self, node):
        """Check the DICOM files behind another CT than before, on a thread; the label shows what was found."""
        uids = dicom_files.uids_of(node)
        if uids == self._checked:
            return
        self._checked, self._warning = uids, ""
        check = dicom_files.hold_check(node)
        if check is None:
            return

        def done(warning):
            if self._checked == uids:
                self._warning = warning
                self.front.refresh_soon()

        self.front.desk.poller.run(check, done, self.front.messages.show)
