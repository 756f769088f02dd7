"""Other programs open an export: validators, DCMTK, dcmqi, SimpleITK, highdicom and slicer-core, each where it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.io import read_volume


def program(name, reason):
    """The path of a program beside this Python or on the path; skips where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(reason)
    return found


def named(exported, ending):
    """The file or folder of an export whose name ends so."""
    (path,) = [p for p in exported.folder.iterdir() if p.name.endswith(ending)]
    return path


def one_of_each(exported):
    """Every object that is no slice, and a slice of each series."""
    return [
        p if p.is_file() else sorted(p.iterdir())[3] for p in sorted(exported.folder.iterdir()) if p.suffix != ".json"
    ]


def test_dciodvfy_finds_no_error(exported):
    validator = program("dciodvfy", "dciodvfy is not installed: apt install dicom3tools")
    for path in one_of_each(exported):
        done = subprocess.run([validator, "-new", str(path)], capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert [line for line in said.splitlines() if line.startswith("Error")] == [], path.name
        assert said.strip(), "it says what kind of object it has read"


def test_dcmtk_reads_every_object(exported):
    dump = program("dcm2json", "DCMTK is not installed: apt install dcmtk")
    report = program("dsrdump", "DCMTK is not installed: apt install dcmtk")
    for path in one_of_each(exported):
        done = subprocess.run([dump, str(path)], capture_output=True, check=True)
        assert "00080018" in json.loads(done.stdout)
    words = [report, str(named(exported, "plan_sr.dcm"))]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=True)
    assert "Imaging Measurement Report" in done.stdout and "lesion 1" in done.stdout
    assert not [line for line in done.stderr.splitlines() if line.startswith("E:")]


def test_dcmqi_gives_back_every_mask(planned, exported, tmp_path):
    reader = program("segimage2itkimage", "dcmqi is not installed: pip install dcmqi")
    seg = named(exported, "before_dseg.dcm")
    command = [reader, "--inputDICOM", str(seg), "--outputDirectory", str(tmp_path), "--outputType", "nrrd", "-p", "s"]
    subprocess.run(command, check=True, capture_output=True)
    for number, expected in ((1, planned.labels >= 1), (2, planned.labels == 2)):
        image = sitk.ReadImage(str(tmp_path / f"s-{number}.nrrd"))
        shown = np.flatnonzero((planned.labels >= 1).any(axis=(1, 2)))
        mask = sitk.GetArrayFromImage(image) > 0
        first = planned.ct.geometry.to_kji(np.array(image.GetOrigin()) * (-1, -1, 1))
        assert np.allclose(first[1:], 0, atol=1e-3)
        whole = np.zeros(expected.shape, bool)
        whole[round(first[0]) : round(first[0]) + len(mask)] = mask
        assert np.array_equal(whole, expected) and len(shown)


def test_highdicom_keeps_the_tumour_inside_of_the_liver(planned, exported):
    seg = hd.seg.segread(named(exported, "before_dseg.dcm"))
    volume = seg.get_volume(combine_segments=False)
    liver, tumour = volume.array[..., 0] > 0, volume.array[..., 1] > 0
    assert tumour.any() and (liver & tumour == tumour).all()
    assert tumour.sum() == (planned.labels == 2).sum() and liver.sum() == (planned.labels >= 1).sum()
    report = hd.sr.srread(named(exported, "plan_sr.dcm"))
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 3 and {g.tracking_identifier for g in groups} == {"lesion 1"}
    assert groups[0].referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID


def test_simpleitk_gives_the_same_volume(exported):
    folder = named(exported, "simulated01_ct")
    reader = sitk.ImageSeriesReader()
    (series,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series))
    image, ours = reader.Execute(), read_volume(folder)
    assert np.array_equal(sitk.GetArrayFromImage(image), ours.array)
    assert np.allclose(image.GetSpacing(), ours.geometry.spacing[::-1])
    assert np.allclose(np.array(image.GetOrigin()) * (-1, -1, 1), ours.geometry.affine[:3, 3])


def test_slicer_core_gives_the_same_volume(exported, tmp_path):
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
    first = sorted(named(exported, "simulated01_ct").iterdir())[0]
    code = (
        "import sys, json, numpy as np, vtk, slicer\n"
        "from vtk.util.numpy_support import vtk_to_numpy\n"
        "scene = slicer.vtkMRMLScene()\n"
        "node = slicer.vtkMRMLScalarVolumeNode(); scene.AddNode(node)\n"
        "store = slicer.vtkMRMLVolumeArchetypeStorageNode(); scene.AddNode(store)\n"
        "store.SetFileName(sys.argv[1]); store.SetCenterImage(0)\n"
        "assert store.ReadData(node)\n"
        "m = vtk.vtkMatrix4x4(); node.GetIJKToRASMatrix(m)\n"
        "image = node.GetImageData(); i, j, k = image.GetDimensions()\n"
        "np.savez(sys.argv[2], a=vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i),\n"
        "         m=[[m.GetElement(r, c) for c in range(4)] for r in range(4)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(first), str(tmp_path / "v.npz")],
        capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    found, ours = np.load(tmp_path / "v.npz"), read_volume(first.parent)
    assert np.array_equal(found["a"], ours.array) and np.allclose(found["m"], ours.geometry.affine, atol=1e-4)
