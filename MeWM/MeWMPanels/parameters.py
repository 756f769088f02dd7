"""The typed parameter node: everything a user sets, saved and restored with the scene."""

from dataclasses import fields
from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper, parameterPack

from MeWMLib.core.devices import DEVICES
from MeWMLib.core.patient import Clinical
from MeWMLib.core.volume import PHASES

UNKNOWN = "not known"


@parameterPack
class ClinicalPack:
    """Clinical data. A number of 0 and the word "not known" mean that it is not known."""

    age_years: Annotated[float, WithinRange(0.0, 120.0), Default(0.0)]
    sex: Annotated[str, Choice([UNKNOWN, "female", "male"]), Default(UNKNOWN)]
    child_pugh_class: Annotated[str, Choice([UNKNOWN, "A", "B", "C"]), Default(UNKNOWN)]
    bclc_stage: Annotated[str, Choice([UNKNOWN, "0", "A", "B", "C", "D"]), Default(UNKNOWN)]
    afp_ng_per_ml: Annotated[float, WithinRange(0.0, 1e8), Default(0.0)]
    bilirubin_mg_per_dl: Annotated[float, WithinRange(0.0, 60.0), Default(0.0)]
    creatinine_mg_per_dl: Annotated[float, WithinRange(0.0, 30.0), Default(0.0)]
    albumin_g_per_dl: Annotated[float, WithinRange(0.0, 8.0), Default(0.0)]
    main_portal_vein_thrombosis: Annotated[str, Choice([UNKNOWN, "no", "yes"]), Default(UNKNOWN)]
    extrahepatic_spread: Annotated[str, Choice([UNKNOWN, "no", "yes"]), Default(UNKNOWN)]
    body_surface_m2: Annotated[float, WithinRange(0.0, 3.5), Default(0.0)]


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

    `protocols`, `findings` and `proposal` are JSON texts: lists and tables that have no widget of their own.
    """

    ct: slicer.vtkMRMLScalarVolumeNode
    post_ct: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    phase: Annotated[str, Choice(list(PHASES)), Default("unknown")]
    liver_segment: Annotated[str, Default("")]
    tumour_segment: Annotated[str, Default("")]
    protocols: Annotated[str, Default("")]
    findings: Annotated[str, Default("")]
    proposal: Annotated[str, Default("")]
    clinical: ClinicalPack
    simulation: SimulationPack
    exploration: ExplorationPack
    view: ViewPack
    computer: ComputerPack


def clinical_json(pack):
    """The clinical data that are known, in the form of `Clinical.to_json`."""
    values = {field.name: getattr(pack, field.name) for field in fields(Clinical)}
    # flags are "yes" and "no" in the panel; no other field has these words
    flags = {"yes": True, "no": False}
    return {name: flags.get(value, value) for name, value in values.items() if value and value != UNKNOWN}
