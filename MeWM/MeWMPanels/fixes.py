"""Which button the dialog of an error offers: the panel where it is put right, or how to go on."""

import slicer
from slicer.i18n import tr as _


def fixes(front):
    """Type name of an error to text and function of a button, or to what gives both, as `Messages` takes them."""

    def opening(text, name):
        return text, lambda: front.open_panel(name)

    def going_on(text, name):
        return text, lambda: front.guard(lambda: front.tasks.accept_and_repeat(name))

    to_setup = opening(_("Open Setup"), "setup")
    to_patient = opening(_("Open Patient"), "patient")
    to_segmentation = opening(_("Open Segmentation"), "segmentation")
    return {
        "DependencyError": to_setup,
        "BundleError": to_setup,
        "DeviceError": lambda: _less_memory(front.parameters),
        "NoSegmentationError": to_segmentation,
        "NoTumourError": to_segmentation,
        "OtherScanError": to_segmentation,
        "OutdatedError": to_segmentation,
        "TargetQuestionError": going_on(_("Treat the largest"), "accept_labels"),
        "TargetError": to_segmentation,
        "TerritoryError": to_segmentation,
        "LabelQuestionError": going_on(_("Go on with these labels"), "accept_labels"),
        "ContraindicatedError": going_on(_("Go on although it is contraindicated"), "allow_forbidden"),
        "RegistrationError": going_on(_("Go on with this registration"), "accept_registration"),
        "LabelError": to_segmentation,
        "ProtocolError": opening(_("Open Actions"), "actions"),
        "NoCTError": to_patient,
        "NotCTError": to_patient,
        "GeometryError": (_("Open Data module"), lambda: slicer.util.selectModule("Data")),
    }


def _less_memory(parameters):
    """What helps where memory is short: the processor, or fewer replicas where that is used already."""
    if parameters.computer.device != "cpu":
        return _("Use the processor (CPU)"), lambda: setattr(parameters.computer, "device", "cpu")

    def use_one_replica():
        parameters.simulation.replicas = parameters.exploration.replicas = 1

    return _("Use one replica"), use_one_replica
