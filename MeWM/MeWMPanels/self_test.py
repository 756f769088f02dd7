"""What MeWMTest does inside Slicer: sample, parameter node, protocol, rules; no network and no weights."""

from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.rules import FORBIDDEN, check
from MeWMPanels import case_files, samples, tasks


def run(case, logic, vtk):
    """Run the checks.

    Args:
        case: the `unittest.TestCase`.
        logic: the module's logic.
        vtk: the module vtk.
    """
    import slicer

    case.delayDisplay("Sample")
    ct, segmentation = samples.add_to_scene(slicer.mrmlScene, load_sample("synthetic"))
    parameters = logic.getParameterNode()
    parameters.ct, parameters.segmentation = ct, segmentation
    parameters.liver_segment = case_files.guess_segment(segmentation, "liver")
    parameters.tumour_segment = case_files.guess_segment(segmentation, "tumour")
    volume = case_files.ct_of(parameters)
    case.assertTrue(case_files.labels_of(parameters, volume.geometry).tumour.any())
    case.assertTrue(case_files.same_voxels(ct, volume))

    case.delayDisplay("Protocols and rules")
    parameters.protocols = tasks.protocols_text([("A", Protocol.parse("Epirubicin 30 mg + Lipiodol 10 ml"))])
    case.assertEqual(tasks.protocols_of(parameters.protocols)[0][1].text, "Epirubicin 30 mg + Lipiodol 10 ml")
    case.assertEqual([f for f in check(tasks.protocols_of(parameters.protocols)[0][1]) if f.severity == FORBIDDEN], [])

    case.delayDisplay("A transform is refused")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    ct.SetAndObserveTransformNodeID(transform.GetID())
    from MeWMLib.core.errors import GeometryError

    with case.assertRaises(GeometryError):
        case_files.ct_of(parameters)
    ct.SetAndObserveTransformNodeID(None)
