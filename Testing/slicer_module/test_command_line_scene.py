"""A scene.mrb that the command line has written opens in the module with everything, as one of the panels does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MeWMLib.core.plan_folder import PlanFolder


@pytest.fixture(params=["axial", "oblique", "left-handed"])
def written(request: pytest.FixtureRequest, host: Any, folders_of_scene: Any, tmp_path: Any) -> Any:
    """A plan directory with the scene that `mewm plan` writes beside it."""
    from MeWMLib.scene.make import make

    affine = folders_of_scene.oblique() if request.param == "oblique" else folders_of_scene.AXIAL.copy()
    if request.param == "left-handed":
        affine[:3, 2] *= -1.0
    folder = folders_of_scene.write_plan_folder(tmp_path / "plan", *folders_of_scene.small_patient(affine))
    make(folder, lambda _share, _message: None, report=False)
    return folder


def _open(user: Any, folder: Any) -> None:
    import slicer

    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(folder / "scene.mrb"), True)
    user.look()
    user.front.refresh()
    user.wait(lambda: not user.front.desk.poller._waiting)


def test_the_module_shows_the_full_comparison(written, user):
    import slicer
    from MeWMPanels import results

    from MeWMLib.scene.nodes import node_to_volume

    _open(user, written)
    front, document = user.front, PlanFolder(written).read()
    (comparison,) = results.all_comparisons(slicer.mrmlScene)
    assert front.comparison.id == comparison.id and front.shown_rank == 1
    assert [c.protocol for c in comparison.candidates] == [c.protocol for c in document.plan.candidates]
    assert comparison.kept == tuple(c.rank for c in document.plan.candidates if c.files)
    assert user.widget("exploration", "rankTable").rowCount == len(comparison.candidates)
    assert user.widget("outcome", "rankBox").count == len(comparison.candidates)
    roles = ("simulated", "difference", "uncertainty", "table", "survival chart", "plan")
    assert [role for role in roles if comparison.node(role) is None] == []
    # CT and segments are chosen, so that the next simulation can be asked for
    parameters = front.parameters
    assert parameters.ct is comparison.ct and parameters.segmentation is comparison.labels
    assert front.cannot_simulate == "" and parameters.tumour_segment == "tumour"
    assert "utdated" not in user.widget("outcome", "summaryLabel").text
    second = comparison.kept[1]
    front.show_rank(second)
    user.look()
    expected = PlanFolder(written).read_kept(document, PlanFolder(written).read_before(document)[0])
    shown = node_to_volume(comparison.node("simulated")).array
    wanted = next(one for one in expected if one.candidate.rank == second).ct
    turned = np.linalg.det(wanted.geometry.affine[:3, :3]) < 0
    assert np.array_equal(shown, wanted.array) or (turned and np.array_equal(shown, wanted.array[::-1]))


def test_an_edit_of_its_labels_is_noticed(written, user):
    from MeWMLib.scene.nodes import scalars_of_image

    _open(user, written)
    node = user.front.parameters.segmentation
    image = node.GetSegmentation().GetSegment("tumour").GetRepresentation("Binary labelmap")
    voxels = scalars_of_image(image)
    voxels[voxels == node.GetSegmentation().GetSegment("tumour").GetLabelValue()] = 0
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    user.front.refresh()
    user.wait(lambda: not user.front.desk.poller._waiting)
    assert "utdated" in user.widget("outcome", "summaryLabel").text
