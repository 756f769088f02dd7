"""One button for everything: from a CT to the first overlay. Each step can be done by hand in the panels below."""

from functools import partial

import slicer
from slicer.i18n import tr as _

from MeWMLib.core.errors import ProtocolError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import parse_json
from MeWMLib.scene.nodes import get_provenance, node_geometry
from MeWMPanels import case_files, dicom_files, install
from MeWMPanels.node_texts import findings_of, protocols_of, protocols_text
from MeWMPanels.panel import Panel, show_text
from MeWMPanels.parameters import clinical_json


def possible_cts(scene):
    """The volumes of a scene that may be the CT before treatment: scans, with voxels, no label maps, not simulated."""
    nodes = [
        scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))
    ]
    return [
        node
        for node in nodes
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and node.GetImageData() is not None
        and get_provenance(node) is None
        and not node.GetAttribute("MeWM.Comparison")
    ]


def segmentation_drawn_on(ct):
    """The one segmentation in the scene with a liver and a tumour that was drawn on a CT, or None."""
    scene, grid = slicer.mrmlScene, node_geometry(ct)
    found = []
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode")
        if get_provenance(node) is not None or node.GetParentTransformNode() is not None:
            continue
        drawn_on = case_files.reference_of(node)
        known = all(case_files.guess_segment(node, kind) for kind in ("liver", "tumour"))
        if known and drawn_on is not None and drawn_on[1].same_as(grid):
            found.append(node)
    return found[0] if len(found) == 1 else None


class PlanPanel(Panel):
    """The button on top, what it will do, and what it may read."""

    ui_name = "Plan"

    def setup(self):
        self.on_click(planButton=self.front.plan)

    def refresh(self):
        ui, parameters = self.ui, self.parameters
        self.enable_each(planButton=self.front.busy or self._no_ct())
        from_dicom = bool(dicom_files.uids_of(parameters.ct or self._only()))
        ui.dicomBox.setVisible(from_dicom)
        show_text(ui.planLabel, self._text())

    def _only(self):
        found = possible_cts(slicer.mrmlScene)
        return found[0] if len(found) == 1 else None

    def _no_ct(self):
        if self.parameters.ct is not None or self._only() is not None:
            return ""
        if possible_cts(slicer.mrmlScene):
            return _("There are several volumes: choose the CT in the panel Patient")
        return _("Load a CT first, or the sample in the panel Patient")

    def _text(self):
        if self.front.busy:
            return ""
        reason = self._no_ct()
        if reason:
            return reason + "."
        ct = self.parameters.ct or self._only()
        return _("{name}: finds liver and tumour, proposes, simulates and shows the overlay.").format(name=ct.GetName())

    def choose(self, node):
        """Choose a CT, or a segmentation with the CT that it was drawn on."""
        parameters = self.parameters
        if node.IsA("vtkMRMLSegmentationNode"):
            parameters.segmentation = node
            drawn_on = case_files.reference_of(node)
            fitting = [
                ct
                for ct in possible_cts(slicer.mrmlScene)
                if drawn_on is not None and node_geometry(ct).same_as(drawn_on[1])
            ]
            if parameters.ct not in fitting:
                parameters.ct = fitting[0] if len(fitting) == 1 else self._only()
        else:
            parameters.ct = node
        self.front.follow_ct()

    def start(self):
        """Begin, with what the user has to agree to first.

        Returns:
            True if it was begun; not where the user did not want to install what is missing.
        """
        front, parameters = self.front, self.parameters
        if parameters.ct is None:
            parameters.ct = self._only()
            front.follow_ct()
        if not front.setup.server.chosen and install.missing_for_worker():
            front.setup.install()
            if install.missing_for_worker():
                return False
        front.tasks.follow(partial(steps, front))
        return True


def steps(front, tasks):
    """The steps from a CT to its overlay; what is there already is not done again."""
    parameters, desk = front.parameters, front.desk
    # whatever is wrong with the CT is said before anything begins
    case_files.hold_ct(parameters)
    ct_id = parameters.ct.GetID()
    facts = dicom_files.hold_facts(parameters.ct) if parameters.dicom_facts else None
    desk.begin(_("Planning for this CT"), jobs=True)
    tasks.note["whole"] = True
    if facts is not None:
        found = yield partial(desk.aside, facts)
        _take_facts(parameters, found, desk)
    if parameters.segmentation is None or case_files.drawn_elsewhere(parameters):
        parameters.segmentation = segmentation_drawn_on(parameters.ct)
        front.segmentation.refresh()
    if parameters.segmentation is None:
        yield from tasks.segmenting(tasks.go_on)
    elif not parameters.proposal or front.proposal_outdated:
        yield from tasks.measuring(tasks.go_on)
    yield from last_steps(front, tasks, ct_id)


def last_steps(front, tasks, ct_id):
    """The steps after measuring; none where another CT was chosen meanwhile."""
    parameters = front.parameters
    if parameters is None or parameters.ct is None or parameters.ct.GetID() != ct_id:
        return
    named = _suggested(parameters)
    if not parameters.targets and len(findings_of(parameters.findings)["lesions"]) > 1:
        # which of two alike is the target, the jobs ask where nothing was ticked; here the largest is, and is said
        tasks.accept("accept_labels")
    yield from tasks.simulating([named], tasks.go_on)


def _suggested(parameters):
    """Name and protocol of the best suggestion, which is put among the protocols where it is not there yet."""
    proposal = parse_json(parameters.proposal or "{}", "The proposal in the scene")
    best = [proposal[kind][0] for kind in ("drugs", "embolics") if proposal.get(kind)]
    if len(best) < 2:
        raise ProtocolError(
            what=_("Nothing can be suggested for this patient"),
            given=_("the rules or the goal leave no drug or no embolic"),
            remedy=_("Put a protocol together in the panel Actions, or change the goal in Exploration"),
        )
    protocol, named = Protocol.of(best), protocols_of(parameters.protocols)
    known = next((one for one in named if one[1] == protocol), None)
    if known is not None:
        return known
    taken = {name for name, _protocol in named}
    number = next(n for n in range(1, len(taken) + 2) if _("Suggested {n}").format(n=n) not in taken)
    made = (_("Suggested {n}").format(n=number), protocol)
    parameters.protocols = protocols_text([*named, made])
    return made


def _take_facts(parameters, found, desk):
    """Put age and sex into the clinical data where they are not known."""
    known = clinical_json(parameters.clinical)
    taken = [name for name in found if name not in known]
    for name in taken:
        setattr(parameters.clinical, name, found[name])
    if taken:
        desk.say(_("Age and sex were taken from the DICOM files, as far as they were not given"))
