"""Kaplan-Meier curves as pictures and as nodes of a Slicer scene."""

import numpy as np
import pytest

from MeWMLib.lab.evaluation.kaplan_meier import CurvePanel, StepCurve

pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "mewm[scene]"')


def _panel(title="mewm", groups=2):
    months = np.array([0.0, 3.0, 7.0, 20.0])
    curves = []
    for n in range(groups):
        survival = np.array([1.0, 0.9, 0.6, 0.5]) ** (1 + n)
        curves.append(StepCurve(f"group {n}", months, survival, survival * 0.8, np.minimum(1, survival * 1.1), 30 + n))
    return CurvePanel(title, "C 0.70 (0.60 to 0.80)", tuple(curves))


def _pixels(path, draw, *given):
    """The pixels of a chart that is drawn to a file."""
    from matplotlib.image import imread

    draw(path, *given)
    assert path.read_bytes()[:4] == b"\x89PNG"
    return imread(path)


def test_a_panel_a_model(tmp_path):
    from MeWMLib.lab.evaluation.survival_charts import kaplan_meier_chart

    one, three = (_pixels(tmp_path / "x.png", kaplan_meier_chart, [_panel(groups=3)] * n) for n in (1, 3))
    assert three.shape[1] > 2 * one.shape[1] and one.shape[0] == three.shape[0]
    orange = (one[..., :3] - np.array([0xC2, 0x50, 0x0A]) / 255).__abs__().max(-1) < 0.02
    blue = (one[..., :3] - np.array([0x2F, 0x6F, 0x9F]) / 255).__abs__().max(-1) < 0.02
    assert orange.sum() > 200 and blue.sum() > 200
    # the group of higher risk lies lower
    assert np.argwhere(orange)[:, 0].mean() > np.argwhere(blue)[:, 0].mean()


def test_the_other_charts_draw_what_they_are_given(tmp_path):
    from MeWMLib.lab.evaluation.survival_charts import interval_chart, reliability_chart, risk_map_chart
    from MeWMLib.lab.evaluation.survival_maps import RiskMaps

    path = tmp_path / "x.png"
    rows = {"mewm": {"low": 0.6, "mean": 0.7, "high": 0.75}, "single:age": {"low": 0.4, "mean": 0.5, "high": 0.6}}
    few = _pixels(path, interval_chart, rows, "C-index", 0.4)
    many = _pixels(path, interval_chart, {f"{n}": rows["mewm"] for n in range(9)}, "C-index")
    assert many.shape[0] > few.shape[0]
    group = {"predicted": 0.5, "observed": 0.55, "low": 0.4, "high": 0.7}
    assert _pixels(path, reliability_chart, {"mewm": [group], "cox": [group, group]}, "survival").std() > 0.01
    observed = np.full((5, 5), 0.4)
    observed[0, 0] = np.nan
    mse = {"mewm": {"mean": 0.01, "low": 0.005, "high": 0.02, "n": 100}}
    maps = RiskMaps(observed, {"mewm": observed + 0.1}, np.full((5, 5), 9), mse, 24.0)
    picture = _pixels(path, risk_map_chart, maps, "volume", "viable share")
    assert picture.shape[0] > 500 and picture.std() > 0.05
    # a coarse grid has room for the limits of its cells
    coarse = RiskMaps(
        np.array([[0.2, 0.4], [0.3, 0.5]]), {"mewm": np.full((2, 2), 0.3)}, np.full((2, 2), 9), mse, 24.0, (20.0,),
        ((0.2,), (0.6,)),
    )  # fmt: skip
    plain = RiskMaps(coarse.observed, coarse.predicted, coarse.patients, mse, 24.0)
    written = [_pixels(path, risk_map_chart, one, "volume, ml", "viable share") for one in (coarse, plain)]
    assert (written[0] != written[1]).any()


def test_nodes_hold_the_steps(core):
    from MeWMLib.lab.evaluation.kaplan_meier import kaplan_meier_nodes

    nodes = kaplan_meier_nodes(core.scene, _panel())
    tables = [n for n in nodes if n.IsA("vtkMRMLTableNode")]
    chart = nodes[-1]
    assert len(tables) == 2 and chart.IsA("vtkMRMLPlotChartNode") and chart.GetNumberOfPlotSeriesNodes() == 6
    table = tables[1].GetTable()
    rows = [[table.GetColumn(c).GetValue(r) for c in range(4)] for r in range(table.GetNumberOfRows())]
    assert [table.GetColumn(c).GetName() for c in range(4)] == ["months", "survival", "low", "high"]
    # 3 months at 1.0, then straight down to 0.9 squared
    assert rows[0][:2] == [0.0, 1.0] and rows[1][:2] == [3.0, 1.0]
    assert rows[2][:2] == pytest.approx([3.0, 0.81]) and len(rows) == 7
    assert rows[-1] == pytest.approx([20.0, 0.25, 0.2, 0.275])
    assert "C 0.70" in chart.GetTitle()


def test_a_scene_file_holds_them(tmp_path):
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
    from MeWMLib.lab.evaluation.survival_charts import save_scene
    from MeWMLib.scene.core_app import SlicerCore

    assert save_scene(tmp_path / "kaplan_meier.mrb", [_panel("mewm"), _panel("cox")])
    with SlicerCore() as core:
        assert core.scene.ReadFromMRB(str(tmp_path / "kaplan_meier.mrb"), True)
        assert core.scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 2
        assert core.scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 4
