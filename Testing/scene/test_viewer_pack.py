"""What the report's viewer gets is what the files hold, cut to the liver; and a page without volumes holds none."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.volume import Geometry, LabelMap, Volume

pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')

BAD = "</script><script>alert(1)</script><!-- \" ' {{ 7 * 7 }}"


def _packed(folder, **more):
    from MeWMLib.scene.viewer_pack import pack

    plan = PlanFolder(folder)
    document = plan.read()
    before, labels = plan.read_before(document)
    return pack(before, labels, plan.read_kept(document, before), document.target_centre, **more)


def _voxels(packed, entry, shape):
    """Voxels of a blob, unpacked step by step, without the product's own way back."""
    raw = gzip.decompress(base64.b64decode(packed.blobs[entry["blob"]]))
    count = int(np.prod(shape))
    if entry["code"] == "u1":
        return np.frombuffer(raw, np.uint8).reshape(shape)
    if entry["code"] == "f4":
        planes = [raw[n * count : (n + 1) * count] for n in range(4)]
        return np.frombuffer(b"".join(bytes(four) for four in zip(*planes, strict=True)), "<f4").reshape(shape)
    folded = (np.frombuffer(raw, np.uint8)[:count] + 256 * np.frombuffer(raw, np.uint8)[count:].astype(int)).reshape(
        shape
    )
    values = np.cumsum(np.where(folded % 2 == 0, folded // 2, -(folded // 2) - 1), axis=-1)
    return ((values + 2**15) % 2**16 - 2**15).astype(np.int16)


def _shape(entry):
    return tuple(high - low for low, high in entry["box"])


def _cut(packed, array):
    header = packed.header
    sides = zip(header["start"], header["step"], header["shape"], strict=True)
    return array[tuple(slice(start, start + step * n, step) for start, step, n in sides)]


def _file(folder, name):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / name)))


def test_what_is_packed_is_what_the_files_hold(any_plan):
    packed = _packed(any_plan)
    header, shape = packed.header, packed.header["shape"]
    before = _voxels(packed, header["before"], shape)
    assert header["before"]["code"] == "i2" and np.array_equal(before, _cut(packed, _file(any_plan, "pre.nrrd")))
    assert np.array_equal(_voxels(packed, header["labels"], shape), _cut(packed, _file(any_plan, "pre.seg.nrrd")))
    assert [one["rank"] for one in header["outcomes"]] == [1, 2, 3]
    for one in header["outcomes"]:
        name = f"simulated_{one['rank']:02d}"
        part = tuple(slice(*side) for side in one["ct"]["box"])
        after = before.copy()
        after[part] += _voxels(packed, one["ct"], _shape(one["ct"]))
        assert np.array_equal(after, _cut(packed, _file(any_plan, f"{name}.nrrd"))) and not np.array_equal(
            after, before
        )
        assert np.array_equal(_voxels(packed, one["labels"], shape), _cut(packed, _file(any_plan, f"{name}.seg.nrrd")))
        sd = np.zeros(shape)
        sd[tuple(slice(*side) for side in one["sd"]["box"])] = _voxels(packed, one["sd"], _shape(one["sd"]))
        assert np.abs(sd * one["sd"]["unit"] - _cut(packed, _file(any_plan, f"{name}_sd.nrrd"))).max() <= 0.25
    assert len(packed.blobs) == 2 + 3 * 3 and not packed.notes


def test_the_box_holds_the_liver_and_its_surroundings_where_the_file_has_them(any_plan):
    packed = _packed(any_plan)
    header, image = packed.header, sitk.ReadImage(str(any_plan / "pre.nrrd"))
    found = np.argwhere(_file(any_plan, "pre.seg.nrrd") > 0)
    margin = np.ceil(20.0 / np.array(image.GetSpacing()[::-1])).astype(int)
    size = np.array(image.GetSize()[::-1])
    low, high = np.maximum(found.min(axis=0) - margin, 0), np.minimum(found.max(axis=0) + 1 + margin, size)
    assert header["start"] == low.tolist() and list(header["shape"]) == (high - low).tolist()
    for kji in ((0, 0, 0), (3, 5, 7)):
        place = image.TransformIndexToPhysicalPoint([int(n) for n in (low + kji)[::-1]])
        ras = np.array(header["affine"]).reshape(4, 4) @ [*kji[::-1], 1]
        assert np.allclose(ras[:3], np.array(place) * [-1, -1, 1], atol=1e-6)


def _study(ct, labels=None, after=None, spacing=1.0):
    """Volumes that need no file: a CT, its labels and one outcome, as `pack` takes them."""
    geometry = Geometry(ct.shape, np.diag([-spacing, -spacing, spacing, 1.0]))
    before = Volume(ct, geometry)
    labels = LabelMap(np.zeros(ct.shape, np.uint8) if labels is None else labels, geometry)
    if after is None:
        return before, labels, []
    from types import SimpleNamespace

    one = SimpleNamespace(candidate=SimpleNamespace(rank=1), ct=before.with_array(after), labels=labels, sd=None)
    return before, labels, [one]


@pytest.mark.parametrize(
    "dtype, values, code",
    [
        (np.int16, (-32768, 32767), "i2"),
        (np.float32, (-1024.0, 3071.0), "i2"),
        (np.float64, (-1024.0, 0.25), "f4"),
        (np.uint16, (0, 65535), "f4"),
        (np.int32, (-40000, 5), "f4"),
        (np.uint8, (0, 255), "i2"),
    ],
)
def test_every_type_of_scan_keeps_its_hu(dtype, values, code):
    from MeWMLib.scene.viewer_pack import pack

    rng = np.random.default_rng(5)
    ct = rng.choice(np.array(values, dtype), size=(5, 6, 7))
    after = ct.copy()
    after[1:3, 2:5, 3:6] = rng.choice(np.array(values, dtype), size=(2, 3, 3))
    after[1, 2, 3], ct[1, 2, 3] = values
    after[2, 4, 5], ct[2, 4, 5] = values[::-1]
    packed = pack(*_study(ct, after=after))
    header = packed.header
    assert header["before"]["code"] == code
    shown = _voxels(packed, header["before"], ct.shape)
    assert np.array_equal(shown.astype(np.float64), ct.astype(np.float64))
    entry = header["outcomes"][0]["ct"]
    assert entry["box"] == [[1, 3], [2, 5], [3, 6]]
    changed = shown.copy()
    part = _voxels(packed, entry, (2, 3, 3))
    if entry["adds"]:
        changed[1:3, 2:5, 3:6] += part
    else:
        changed[1:3, 2:5, 3:6] = part
    assert np.array_equal(changed.astype(np.float64), after.astype(np.float64))


def test_an_outcome_without_change_and_a_scan_without_labels(axial_plan):
    from MeWMLib.scene.viewer_pack import pack

    ct = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    packed = pack(*_study(ct, after=ct.copy()))
    assert packed.header["shape"] == (3, 4, 5) and "ct" not in packed.header["outcomes"][0]
    assert "sd" not in packed.header["outcomes"][0]


def test_a_change_far_from_the_liver_is_in_the_box():
    from MeWMLib.scene.viewer_pack import pack

    ct = np.zeros((4, 90, 90), np.int16)
    labels, after = np.zeros(ct.shape, np.uint8), ct.copy()
    labels[2, 10:14, 10:14] = 1
    after[1, 80, 70] = 9
    header = pack(*_study(ct, labels, after)).header
    assert header["start"] == [0, 0, 0] and header["shape"] == (4, 90, 90)
    assert header["outcomes"][0]["ct"]["box"] == [[1, 2], [80, 81], [70, 71]]


@pytest.mark.parametrize("most", [20_000, 1_500, 10])
def test_what_is_too_large_is_thinned_and_says_so(axial_plan, most):
    packed = _packed(axial_plan, most=most)
    header = packed.header
    assert max(header["step"]) > 1 and "none is averaged" in packed.notes[0]
    assert packed.characters <= most or header["shape"] == (1, 1, 1)
    before = _voxels(packed, header["before"], header["shape"])
    assert np.array_equal(before, _cut(packed, _file(axial_plan, "pre.nrrd")))
    after = before.copy()
    if "ct" in header["outcomes"][0]:
        entry = header["outcomes"][0]["ct"]
        after[tuple(slice(*side) for side in entry["box"])] += _voxels(packed, entry, _shape(entry))
    assert np.array_equal(after, _cut(packed, _file(axial_plan, "simulated_01.nrrd")))
    last = np.array(header["affine"]).reshape(4, 4) @ [*(np.array(header["shape"]) - 1)[::-1], 1]
    kji = np.array(header["start"]) + (np.array(header["shape"]) - 1) * header["step"]
    place = sitk.ReadImage(str(axial_plan / "pre.nrrd")).TransformIndexToPhysicalPoint([int(n) for n in kji[::-1]])
    assert np.allclose(last[:3], np.array(place) * [-1, -1, 1])


def test_a_scan_of_the_usual_size_fits_into_a_page():
    """512 x 512 x 100 with the noise of a thin slice and a large liver: under 25 MB with what else a page holds."""
    from MeWMLib.scene.viewer_pack import pack

    rng = np.random.default_rng(2)
    ct = np.rint(rng.normal(60, 20, (100, 512, 512)).astype(np.float32)).astype(np.int16)
    labels = np.zeros(ct.shape, np.uint8)
    labels[5:95, 120:390, 80:380] = 1
    after = ct.copy()
    after[40:70, 200:280, 150:230] += rng.integers(-50, 400, (30, 80, 80), np.int16)
    packed = pack(*_study(ct, labels, after, spacing=0.8))
    assert packed.header["step"] == [1, 1, 1] and 10e6 < packed.characters < 20e6


def _page(folder, packed):
    from MeWMLib.scene.report import render_report

    return render_report(PlanFolder(folder).read(), (), (), packed=packed)


def test_a_page_with_volumes_says_so_at_its_top_and_one_without_holds_none(axial_plan):
    packed = _packed(axial_plan)
    page, without = _page(axial_plan, packed), _page(axial_plan, None)
    assert page.index("holds a patient's CT") < page.index("<main>")
    for name, text in packed.blobs.items():
        assert f'id="voxels-{name}">{text}</script>' in page and text not in without
    assert "holds a patient's CT" not in without and "--no-volumes" in without and 'id="voxels-' not in without
    assert "pre.nrrd" in without and len(without) < len(page) - packed.characters


def test_a_page_of_a_drawn_patient_says_that_nobody_is_shown(axial_plan):
    from MeWMLib.scene.report import render_report

    document = replace(PlanFolder(axial_plan).read(), case="sample:synthetic-hcc")
    page = render_report(document, (), (), packed=_packed(axial_plan))
    assert "holds the CT of a drawn patient, who is nobody" in page and "a patient's CT" not in page
    assert not replace(document, case="sample:lits-117").drawn


def test_only_our_script_may_run_and_nothing_may_be_asked_for(own_plan):
    data = json.loads((own_plan / "plan.json").read_text())
    data["case"] = data["goal"] = BAD
    (own_plan / "plan.json").write_text(json.dumps(data))
    page = _page(own_plan, _packed(own_plan))
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    (ours,) = [text for attributes, text in scripts if "type=" not in attributes]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    digest = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert "alert(1)</script>" not in page and "innerHTML" not in ours and "eval(" not in ours
    assert all(json.loads(text) for attributes, text in scripts if "application/json" in attributes)
    assert not re.findall(r"https?://", ours)


def test_the_users_own_protocol_is_among_the_volumes(own_plan, monkeypatch):
    from MeWMLib.core.beside import Beside
    from MeWMLib.scene.make import _own

    folder = PlanFolder(own_plan)
    document = folder.read()
    before, _ = folder.read_before(document)
    first, other = document.plan.candidates[:2]
    assert _own(folder, document, before) == []
    mine = replace(other, rank=0, files=first.files)
    (found,) = _own(folder, replace(document, beside=Beside(mine, first, ())), before)
    assert found.candidate.rank == 0 and found.sd is not None


def test_the_document_has_the_same_keys():
    from pathlib import Path

    from MeWMLib.scene.viewer_page import KEYS

    text = (Path(__file__).parents[2] / "docs" / "REPORT.md").read_text(encoding="utf-8")
    assert [f"| {key} | {what} |" for key, what in KEYS] == [
        line for line in text.splitlines() if line.startswith("| ")
    ][1 : 1 + len(KEYS)]
