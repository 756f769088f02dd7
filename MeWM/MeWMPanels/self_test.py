"""What MeWMTest does inside Slicer; no network, no weights.

A fresh Slicer lacks packages that MeWM asks to install. What needs none of them is tested all the same, and what was
not tested is said. So nothing that needs them is imported at the top.
"""

import numpy as np
import slicer

from MeWMLib.core.errors import GeometryError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.policy.rules import FORBIDDEN, check
from MeWMLib.scene.nodes import image_of_array, matrix_to_vtk, node_geometry, node_to_volume, volume_to_node
from MeWMPanels import install

_PROTOCOL = "Epirubicin 30 mg + Lipiodol 10 ml"


def run(case, logic):
    """Run the checks in a `ScriptedLoadableModuleTest`, with the module's logic.

    Returns:
        What was not tested and why, one sentence each.
    """
    skipped = []
    _oblique(case)
    _rules(case)
    _parameters(case, logic)
    _setup(case)
    lacking = install.missing(install.FOR_PANELS)
    if lacking:
        skipped.append(f"Sample, edits and panels were not tested: {', '.join(lacking)} must be installed first.")
    else:
        _sample(case, logic)
    lacking = [name for name in install.missing_for_worker() if name not in install.FOR_PANELS]
    if lacking:
        skipped.append(f"Worker and report were not tested: {', '.join(lacking)} must be installed first.")
    for sentence in skipped:
        case.delayDisplay(sentence)
    return skipped


def _oblique(case):
    case.delayDisplay("Geometry of an oblique volume")
    turn = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([0.7, 0.9, 2.5]), (12.5, -30.25, 140.0)
    oblique = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), Geometry((3, 4, 5), affine))
    node = volume_to_node(slicer.mrmlScene, oblique, "oblique")
    case.assertTrue(np.array_equal(node_to_volume(node).array, oblique.array))
    case.assertLess(float(np.abs(node_geometry(node).affine - affine).max()), 1e-9)

    case.delayDisplay("A transform is refused")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with case.assertRaises(GeometryError):
        node_to_volume(node)


def _rules(case):
    case.delayDisplay("Protocols and rules")
    protocol = Protocol.parse(_PROTOCOL)
    case.assertEqual(protocol.text, _PROTOCOL)
    case.assertNotIn(FORBIDDEN, [finding.severity for finding in check(protocol)])
    forbidden = Protocol.parse("Cisplatin + Oxaliplatin + Lipiodol")
    case.assertIn(FORBIDDEN, [finding.severity for finding in check(forbidden)])


def _parameters(case, logic):
    case.delayDisplay("Settings in the scene")
    logic.getParameterNode().exploration.beams = 7
    case.assertEqual(logic.getParameterNode().exploration.beams, 7)


def _setup(case):
    case.delayDisplay("Installing packages")
    for name in install.missing_for_worker():
        case.assertIn(name.replace("cc3d", "connected"), install.requirement_of(name))


def _sample(case, logic):
    from MeWMLib.cohorts.samples import load_sample
    from MeWMPanels import case_files, samples, tasks

    case.delayDisplay("Sample")
    ct, segmentation = samples.add_to_scene(slicer.mrmlScene, load_sample("synthetic"))
    parameters = logic.getParameterNode()
    parameters.ct, parameters.segmentation = ct, segmentation
    parameters.liver_segment = case_files.guess_segment(segmentation, "liver")
    parameters.tumour_segment = case_files.guess_segment(segmentation, "tumour")
    volume = case_files.ct_of(parameters)
    case.assertTrue(case_files.labels_of(parameters, volume.geometry).tumour.any())
    case.assertTrue(case_files.same_voxels(ct, volume))

    case.delayDisplay("Editing the tumour")
    before = case_files.labels_of(parameters, volume.geometry).tumour
    k, j, i = np.argwhere(before)[0]
    drawn = np.zeros(before.shape, bool)
    drawn[k : k + 2, j : j + 2, i : i + 2] = True
    image = image_of_array(drawn, slicer.vtkOrientedImageData)
    image.SetImageToWorldMatrix(matrix_to_vtk(volume.geometry.affine))
    segments = slicer.vtkSlicerSegmentationsModuleLogic
    segments.SetBinaryLabelmapToSegment(image, segmentation, parameters.tumour_segment, segments.MODE_MERGE_MAX)
    case.assertTrue(np.array_equal(case_files.labels_of(parameters, volume.geometry).tumour, before | drawn))

    case.delayDisplay("Protocols in the scene")
    parameters.protocols = tasks.protocols_text([("A", Protocol.parse(_PROTOCOL))])
    ((_name, protocol),) = tasks.protocols_of(parameters.protocols)
    case.assertEqual(protocol.text, _PROTOCOL)
