"""A deformation that was written by the registration is the same map in Slicer's own transform node."""

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.perception.registration import Registered


def test_a_written_deformation_is_the_same_map_in_a_node(core, tmp_path) -> None:
    from MeWMLib.scene.transforms import transform_to_node

    scene = core.scene

    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = (40, 30, -20)
    grid = Geometry((20, 30, 40), affine)
    turn = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.05, 0.0, 0.1, (4.0, -3.0, 2.0))
    found = Registered(Volume(np.zeros(grid.shape, np.int16), grid), np.ones(grid.shape, bool), turn, {})
    found.write_deformation(tmp_path / "deformation.h5")
    node = transform_to_node(scene, tmp_path / "deformation.h5", "after to before")
    assert node.GetName() == "after to before"
    for ras in ((0.0, 0.0, 0.0), (10.0, -8.0, 12.0)):
        lps = (-ras[0], -ras[1], ras[2])
        expected = turn.TransformPoint(lps)  # fixed to moving
        got = node.GetTransformFromParent().TransformPoint(ras)
        assert np.allclose(got, (-expected[0], -expected[1], expected[2]), atol=0.05)


def test_what_is_no_transform_is_refused(core, tmp_path) -> None:
    from MeWMLib.scene.transforms import transform_to_node

    scene = core.scene

    before = scene.GetNumberOfNodesByClass("vtkMRMLTransformNode")
    (tmp_path / "broken.h5").write_bytes(b"no transform")
    for name in ("broken.h5", "absent.h5"):
        with pytest.raises(UnreadableFileError, match="deformation"):
            transform_to_node(scene, tmp_path / name, "x")
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == before
