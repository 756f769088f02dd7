"""The process: JSON lines on standard output, exit codes, files in their places."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import MeWMLib
from MeWMLib.core.errors import DependencyError, UnreadableFileError, error_from_json
from MeWMLib.jobs.job import Event


def _run(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "MeWMLib.scene", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(MeWMLib.__file__).parents[1],
        env={**os.environ, **environment},
        timeout=180,
        check=False,
    )
    return done, [Event.from_json(line) for line in done.stdout.splitlines()]


@pytest.fixture
def _scene_packages():
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')


def test_makes_everything(own_plan, slicer_path, opengl):
    done, events = _run(own_plan, PYTHONPATH=slicer_path)
    assert done.returncode == 0, done.stderr
    progress = [e for e in events if e.kind == "progress"]
    assert [e.fraction for e in progress] == sorted(e.fraction for e in progress) and progress[-1].fraction == 1.0
    said = " ".join(e.message for e in progress)
    assert all(text in said for text in ("Reading the plan", "pictures", "the report", "the scene"))
    assert events[-1].kind == "result" and events[-1].data["notes"] == []
    assert {"report.html", "scene.mrb", "pictures/surfaces_before.png", "pictures/search_tree.png"} <= set(
        events[-1].data["files"]
    )
    for name in events[-1].data["files"]:
        assert (own_plan / name).stat().st_size > 1000, name
    assert not [p.name for p in own_plan.rglob(".*")], "something half-made was left"
    page = (own_plan / "report.html").read_text(encoding="utf-8")
    assert "holds a patient's CT" in page and 'id="voxels-before"' in page and 'id="voxels-sd3"' in page


def test_without_opengl_the_3d_pictures_are_left_out_with_a_note(own_plan, slicer_path):
    done, events = _run(own_plan, "--no-scene", "--no-volumes", MEWM_NO_GL="1", PYTHONPATH=slicer_path)
    assert done.returncode == 0, done.stderr
    names = events[-1].data["files"]
    assert "pictures/axial_simulated.png" in names and not [n for n in names if "surfaces" in n]
    assert "libegl1 libgl1-mesa-dri" in events[-1].data["notes"][0]
    assert events[-1].data["notes"] == [e.message for e in events if e.kind == "log"]
    page = (own_plan / "report.html").read_text(encoding="utf-8")
    assert "libegl1 libgl1-mesa-dri" in page
    assert "holds a patient's CT" not in page and 'id="voxels-' not in page and "No volumes are in this page" in page
    assert not (own_plan / "scene.mrb").exists()


def test_only_the_scene_of_a_plan_without_simulated_volumes(own_plan, _scene_packages):
    data = json.loads((own_plan / "plan.json").read_text(encoding="utf-8"))
    for candidate in data["candidates"]:
        candidate["files"] = {}
    (own_plan / "plan.json").write_text(json.dumps(data))
    done, events = _run(own_plan, "--no-report")
    assert done.returncode == 0, done.stderr
    assert events[-1].data["files"] == ["scene.mrb"] and "no simulated volume" in events[-1].data["notes"][0]


def test_bad_plan_is_an_event_and_exit_code_2(own_plan, _scene_packages):
    (own_plan / "plan.json").write_text("{")
    done, events = _run(own_plan)
    assert done.returncode == 2
    error = error_from_json(events[-1].data)
    assert events[-1].kind == "error" and type(error) is UnreadableFileError
    assert "plan.json" in error.given and error.remedy
    assert not (own_plan / "report.html").exists() and "Traceback" not in done.stderr


def test_a_module_of_slicer_that_cannot_be_reached_is_an_event_and_exit_code_3(own_plan, tmp_path, _scene_packages):
    """A Python with Slicer's kits on its path, and without the folder of the loadable modules."""
    kits = tmp_path / "slicer"
    kits.mkdir()
    lines = ("MRMLCore", "MRMLLogic", "vtkSegmentationCore", "vtkSlicerBaseLogic")
    (kits / "__init__.py").write_text("\n".join(f"from slicer_core.{kit} import *" for kit in lines))
    done, events = _run(own_plan, PYTHONPATH=str(tmp_path))
    assert done.returncode == 3, done.stderr
    error = error_from_json(events[-1].data)
    assert type(error) is DependencyError and "Sequences" in error.what
    assert "vtkSlicerSequencesModuleMRMLPython" in error.given and "PythonSlicer" in error.remedy


def test_kits_only_hold_no_class_of_a_module(slicer_path):
    """As in PythonSlicer: the mode would prove nothing if its package `slicer` held what the application's does."""
    code = (
        "from MeWMLib.scene import core_app as c; import slicer\n"
        "names = [*c._MODULE_LOGICS.values(), *c._MODULE_NODES.values()]\n"
        "print(sum(hasattr(slicer, name) for name in names), len(names), hasattr(slicer, 'vtkMRMLScene'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": slicer_path}, capture_output=True, text=True,
        check=True, cwd=Path(MeWMLib.__file__).parents[1],
    )  # fmt: skip
    held, named, scene = done.stdout.split()
    kits_only = slicer_path != os.environ.get("PYTHONPATH", "")
    assert (int(held), scene) == (0 if kits_only else int(named), "True") and int(named) > 10


def test_missing_package_is_an_event_and_exit_code_3(own_plan, tmp_path):
    (tmp_path / "slicer.py").write_text("raise ImportError('no slicer here')")
    done, events = _run(own_plan, PYTHONPATH=str(tmp_path))
    assert done.returncode == 3
    error = error_from_json(events[-1].data)
    assert type(error) is DependencyError and "pip install" in error.remedy and "[scene]" in error.remedy


def test_help_shows_an_example(capsys):
    from MeWMLib.scene.__main__ import main

    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Example: python -m MeWMLib.scene" in capsys.readouterr().out
