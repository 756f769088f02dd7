"""What MeWMTest does inside Slicer: sample, edit, geometry, parameter node, protocol, rules; no network, no weights."""

import numpy as np
import slicer

from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core.errors import GeometryError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.policy.rules import FORBIDDEN, check
from MeWMLib.scene.nodes import image_of_array, matrix_to_vtk, node_geometry, volume_to_node
from MeWMPanels import case_files, samples, tasks


def run(case, logic):
    """Run the checks in a `ScriptedLoadableModuleTest`, with the module's logic."""
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

    case.delayDisplay("Geometry of an oblique volume")
    turn = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([0.7, 0.9, 2.5]), (12.5, -30.25, 140.0)
    oblique = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), Geometry((3, 4, 5), affine))
    node = volume_to_node(slicer.mrmlScene, oblique, "oblique")
    case.assertTrue(case_files.same_voxels(node, oblique))
    case.assertLess(float(np.abs(node_geometry(node).affine - affine).max()), 1e-9)

    case.delayDisplay("Protocols and rules")
    text = "Epirubicin 30 mg + Lipiodol 10 ml"
    parameters.protocols = tasks.protocols_text([("A", Protocol.parse(text))])
    ((_name, protocol),) = tasks.protocols_of(parameters.protocols)
    case.assertEqual(protocol.text, text)
    case.assertNotIn(FORBIDDEN, [finding.severity for finding in check(protocol)])

    case.delayDisplay("A transform is refused")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    ct.SetAndObserveTransformNodeID(transform.GetID())
    with case.assertRaises(GeometryError):
        case_files.ct_of(parameters)
