"""The typed parameter node: everything a user sets, saved and restored with the scene."""

from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper, parameterPack

from MeWMLib.core.clinical import field_table
from MeWMLib.core.devices import DEVICES
from MeWMLib.core.volume import PHASES

UNKNOWN = "not known"


def clinical_hint(info):
    """How a field of the table of clinical data is kept in the node: as text, or as a number whose lowest value, 0 or
    -1, means that it is not known.
    """
    if info.kind in ("number", "whole"):
        # 0 sessions and status 0 are known
        unknown = -1.0 if info.kind == "whole" and info.low == 0 else 0.0
        return Annotated[float, WithinRange(unknown, float(info.high)), Default(unknown)]
    if info.kind == "list":
        return Annotated[str, Default("")]
    choices = ("no", "yes") if info.kind == "flag" else info.choices
    return Annotated[str, Choice([UNKNOWN, *choices]), Default(UNKNOWN)]


#: Clinical data, one parameter for each field of the table in `core.clinical`.
ClinicalPack = parameterPack(
    type(
        "ClinicalPack",
        (),
        {
            "__module__": __name__,
            "__doc__": "Clinical data; see `clinical_hint` for what is not known.",
            "__annotations__": {name: clinical_hint(info) for name, info in field_table().items()},
        },
    )
)


@parameterPack
class SimulationPack:
    """How one protocol is simulated."""

    replicas: Annotated[int, WithinRange(1, 20), Default(3)]
    seed: Annotated[int, WithinRange(0, 2147483647), Default(0)]
    steps: Annotated[int, WithinRange(1, 100), Default(8)]


@parameterPack
class ExplorationPack:
    """How protocols are searched (Algorithm 1 of arXiv 2506.02327)."""

    goal: Annotated[str, Default("")]
    accepted_goal: Annotated[str, Default("")]
    search: Annotated[str, Choice(["beam", "exhaustive", "best_first"]), Default("best_first")]
    beams: Annotated[int, WithinRange(1, 20), Default(3)]
    drugs: Annotated[int, WithinRange(1, 11), Default(5)]
    embolics: Annotated[int, WithinRange(1, 7), Default(4)]
    drug_horizon: Annotated[int, WithinRange(1, 5), Default(3)]
    embolic_horizon: Annotated[int, WithinRange(1, 5), Default(2)]
    replicas: Annotated[int, WithinRange(1, 20), Default(3)]
    keep: Annotated[int, WithinRange(1, 10), Default(3)]


@parameterPack
class ViewPack:
    """How the comparison is shown."""

    fade: Annotated[float, WithinRange(0.0, 1.0), Default(0.5)]
    outlines: Annotated[bool, Default(True)]
    surfaces: Annotated[bool, Default(False)]
    map: Annotated[str, Choice(["no map", "difference", "uncertainty"]), Default("no map")]
    layout: Annotated[str, Choice(["overlay", "side by side"]), Default("overlay")]


@parameterPack
class ComputerPack:
    """Where the work is done. A server's token is never kept here: this is saved with the scene."""

    place: Annotated[str, Choice(["this computer", "server"]), Default("this computer")]
    server: Annotated[str, Default("")]
    device: Annotated[str, Choice(list(DEVICES)), Default("auto")]
    bundle: Annotated[str, Default("")]
    wheelhouse: Annotated[str, Default("")]


@parameterNodeWrapper
class MeWMParameterNode:
    """Nodes, settings and what was found in the patient.

    `protocols`, `findings` and `proposal` are JSON texts: lists and tables that have no widget of their own; `origin`
    says what the latter two were computed from. `targets` are the numbers of the lesions that are ticked, such as
    "1,3"; none means all that one session can treat. `dicom_facts` allows to read age and sex from DICOM files.
    """

    ct: slicer.vtkMRMLScalarVolumeNode
    post_ct: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    phase: Annotated[str, Choice(list(PHASES)), Default("unknown")]
    dicom_facts: Annotated[bool, Default(False)]
    liver_segment: Annotated[str, Default("")]
    tumour_segment: Annotated[str, Default("")]
    targets: Annotated[str, Default("")]
    territory: Annotated[str, Default("")]
    fed_segment: Annotated[str, Default("")]
    protocols: Annotated[str, Default("")]
    findings: Annotated[str, Default("")]
    proposal: Annotated[str, Default("")]
    origin: Annotated[str, Default("")]
    clinical: ClinicalPack
    simulation: SimulationPack
    exploration: ExplorationPack
    view: ViewPack
    computer: ComputerPack


def forget_findings(parameters):
    """What was measured and suggested belongs to another CT."""
    parameters.findings = parameters.proposal = parameters.origin = parameters.targets = ""


def forget_clinical(pack):
    """All clinical data as they are where nothing is known."""
    for name, info in field_table().items():
        if info.kind in ("number", "whole"):
            setattr(pack, name, -1.0 if info.kind == "whole" and info.low == 0 else 0.0)
        else:
            setattr(pack, name, "" if info.kind == "list" else UNKNOWN)


def fill_clinical(pack, data):
    """Put clinical data in, in the form that `clinical_json` gives."""
    table = field_table()
    for name, value in data.items():
        if name in table:
            flag = table[name].kind == "flag"
            setattr(pack, name, ("yes" if value else "no") if flag else value)


def clinical_json(pack):
    """The clinical data that are known, in the form of `Clinical.to_json`."""
    found = {}
    for name, info in field_table().items():
        value = getattr(pack, name)
        if info.kind in ("number", "whole"):
            if value > 0 or (value == 0 and info.kind == "whole" and info.low == 0):
                found[name] = value
        elif info.kind == "flag":
            if value != UNKNOWN:
                found[name] = value == "yes"
        elif info.kind == "list":
            if value.strip():
                found[name] = value
        elif value != UNKNOWN:
            found[name] = value
    return found
