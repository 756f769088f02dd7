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

from MeWMLib.core.io import read_labels, read_volume


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
    unpacked(exported, "before_dseg.dcm", tmp_path)
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


#: What Slicer's extension QuantitativeReporting does with a SEG: dcmqi unpacks it, the scene takes the label maps over.
#: slicer-core itself has no reader of SEG or SR (5.13): its storage nodes read a SEG as a stack of frames.
SLICER = """
import sys, numpy as np, vtk, slicer
from vtk.util.numpy_support import vtk_to_numpy
scene, found = slicer.vtkMRMLScene(), {}
def matrix(fill):
    m = vtk.vtkMatrix4x4(); fill(m)
    return [[m.GetElement(r, c) for c in range(4)] for r in range(4)]
def array(image):
    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)
def read(path, node):
    scene.AddNode(node)
    store = slicer.vtkMRMLVolumeArchetypeStorageNode(); scene.AddNode(store)
    store.SetFileName(path); store.SetCenterImage(0)
    assert store.ReadData(node)
    return node
out, first, *labels = sys.argv[1:]
ct = read(first, slicer.vtkMRMLScalarVolumeNode())
found["ct"], found["grid"] = array(ct.GetImageData()), matrix(ct.GetIJKToRASMatrix)
node = slicer.vtkMRMLSegmentationNode(); scene.AddNode(node)
for path in labels:
    one = read(path, slicer.vtkMRMLLabelMapVolumeNode())
    assert slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(one, node)
segments = node.GetSegmentation()
for n in range(segments.GetNumberOfSegments()):
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segments.GetNthSegmentID(n), image)
    found[f"mask{n + 1}"], found[f"grid{n + 1}"] = array(image) > 0, matrix(image.GetImageToWorldMatrix)
    found[f"start{n + 1}"] = image.GetExtent()[::2]
np.savez(out, **found)
"""


def unpacked(exported, ending, folder):
    """The segments of a SEG as dcmqi writes them, a file each."""
    reader = program("segimage2itkimage", "dcmqi is not installed: pip install dcmqi")
    seg = str(named(exported, ending))
    command = [reader, "--inputDICOM", seg, "--outputDirectory", str(folder), "--outputType", "nrrd", "-p", "s"]
    subprocess.run(command, check=True, capture_output=True)
    return sorted(str(p) for p in folder.glob("s-*.nrrd"))


def test_slicer_core_gives_the_same_volume_and_segments(planned, exported, tmp_path):
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
    first = sorted(named(exported, "simulated01_ct").iterdir())[0]
    labels = unpacked(exported, "simulated01_dseg.dcm", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SLICER, str(tmp_path / "v.npz"), str(first), *labels],
        capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    found, ours = np.load(tmp_path / "v.npz"), read_volume(first.parent)
    assert np.array_equal(found["ct"], ours.array) and np.allclose(found["grid"], ours.geometry.affine, atol=1e-4)
    expected = read_labels(planned.plan / "simulated_01.seg.nrrd", planned.ct.geometry).array
    for n, mask in ((1, expected >= 1), (2, expected == 2)):
        to_plan = np.linalg.inv(planned.ct.geometry.affine) @ found[f"grid{n}"]
        assert np.allclose(to_plan, np.round(to_plan), atol=1e-4)
        voxels = np.argwhere(found[f"mask{n}"])[:, ::-1] + found[f"start{n}"]
        i, j, k = np.round(to_plan[:3, :3] @ voxels.T + to_plan[:3, 3:]).astype(int)
        shown = np.zeros(mask.shape, bool)
        shown[k, j, i] = True
        assert np.array_equal(shown, mask) and mask.any()


def test_dcmqi_reads_the_report(planned, exported, tmp_path):
    """As QuantitativeReporting reads it: each lesion before and after, with its segment and its volume."""
    reader = program("tid1500reader", "dcmqi is not installed: pip install dcmqi")
    report, written = named(exported, "plan_sr.dcm"), tmp_path / "r.json"
    command = [reader, "--inputDICOM", str(report), "--outputMetadata", str(written)]
    subprocess.run(command, check=True, capture_output=True)
    groups = json.loads(written.read_text(encoding="utf-8"))["Measurements"]
    lesions = [one for one in groups if one["TrackingIdentifier"] == "lesion 1"]
    assert [one["ReferencedSegment"] for one in lesions] == [2, 2, 2]
    volumes = [
        float(item["value"])
        for one in lesions
        for item in one["measurementItems"]
        if item["quantity"]["CodeValue"] == "118565006"
    ]
    masks = [planned.labels == 2]
    for n in (1, 2):
        masks.append(read_labels(planned.plan / f"simulated_0{n}.seg.nrrd", planned.ct.geometry).array == 2)
    expected = [float(mask.sum()) * planned.ct.geometry.voxel_ml for mask in masks]
    assert volumes == pytest.approx(expected, rel=1e-5)
