"""The look table: real range, places in it, and the command from files to table."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.cohorts.synthetic.patients import draw_patient
from MeWMLib.core import io
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation import __main__ as command
from MeWMLib.lab.evaluation import scans
from MeWMLib.lab.evaluation.look import look
from MeWMLib.lab.evaluation.look_table import fits, look_rows, place
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.perception.registration import Registered, Registration


def test_places_and_fits() -> None:
    assert [place(v, 2, 6) for v in (2, 3, 6, 8, 0)] == [0, 25, 100, 150, -50]
    assert math.isnan(place(2, 2, 2)) and math.isnan(place(2, math.nan, math.nan))
    assert [fits(v, 4, 8) for v in (2.9, 3, 5, 10, 10.1)] == [0, 1, 1, 1, 0]
    assert [fits(v, -40, 20) for v in (-51, -50, 25, 26)] == [0, 1, 1, 0]
    assert math.isnan(fits(math.nan, 0, 1))


def test_what_treatment_does_not_change_is_measured_before_it_too() -> None:
    after = {"A": {"share_300_percent": 4.0, "noise_sd_hu": 20.0}, "B": {"share_300_percent": 6.0, "noise_sd_hu": 22.0}}
    before = {"A": {"share_300_percent": 0.0, "noise_sd_hu": 18.0}}
    judging = {"J": {"share_300_percent": 50.0, "noise_sd_hu": 90.0}}
    drawn = [{"share_300_percent": v, "noise_sd_hu": math.nan} for v in (10.0, 12.0)]
    rows = look_rows(after, before, judging, {"world": drawn})
    share, noise = rows["share_300_percent"], rows["noise_sd_hu"]
    assert share["real_low"] == {"mean": 4, "n": 2} and share["real_high"] == {"mean": 6, "n": 2}
    assert share["real_J"] == {"mean": 50, "n": 1} and "before_A" not in share
    assert noise["real_low"] == {"mean": 18, "n": 3} and noise["before_A"] == {"mean": 18, "n": 1}
    world = share["world"]
    assert (world["mean"], world["n"]) == (11, 2) and 10 <= world["low"] <= world["high"] <= 12
    assert share["world_place"] == {"mean": 350, "n": 2} and share["world_fits"] == {"mean": 0, "n": 2}
    assert noise["world"]["n"] == 0 and math.isnan(noise["world_fits"]["mean"])


def scan(seed: int, grains: int, spacing: tuple[float, float, float] = (2.5, 1.0, 1.0)) -> tuple[Volume, LabelMap]:
    """Noise on a liver that fills the image but for some fat, and on a tumour with grains of two voxels."""
    shape = (28, 90, 90)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = [45, 45, -35]
    geometry = Geometry(shape, affine)
    k, j, i = np.ogrid[:28, :90, :90]
    tumour = ((k - 14) * 2.5) ** 2 + (j - 45) ** 2 + (i - 45) ** 2 < 20**2
    rng = np.random.default_rng(seed)
    hu = rng.normal(110, 15, shape)
    hu[tumour] -= 30
    where = np.argwhere(tumour[:, ::6, ::6])
    for k, j, i in where[rng.permutation(len(where))[:grains]]:
        hu[k, 6 * j, 6 * i : 6 * i + 2] = 500
    labels = np.where(tumour, 2, 1).astype(np.uint8)
    hu[:, :4], labels[:, :4] = -100, 0
    return Volume(np.round(hu).astype(np.int16), geometry), LabelMap(labels, geometry)


def test_the_command_measures_real_drawn_and_simulated_scans(tiny_bundle, tmp_path, monkeypatch) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    text = "patient,before,labels,after,labels_after,before_native,after_native,before_arterial,protocol,judging\n"
    for n, (name, judging) in enumerate((("A", "no"), ("B", "no"), ("J", "yes"))):
        before, labels = scan(n, 0)
        after, _ = scan(10 + n, 12 + 6 * n)
        io.write_volume(before, data / f"{name}_before.nrrd")
        io.write_volume(after, data / f"{name}_after.nrrd")
        io.write_labels(labels, data / f"{name}.seg.nrrd")
        own, other = f"{name}_before.nrrd", f"{name}_after.nrrd"
        text += f"{name},{own},{name}.seg.nrrd,{other},{name}.seg.nrrd,{own},{other},{own},Lipiodol,{judging}\n"
    (data / "pairs.csv").write_text(text, encoding="utf-8")
    small = [scans.Seen("drawn", *scan(99, 30))]
    monkeypatch.setattr(scans, "drawn_scans", lambda count, protocol, phase="portal", version=3: iter(small[:count]))
    given = ["look", "--pairs", str(data / "pairs.csv"), "--out", str(out), "--replicas", "1", "--drawn", "1"]
    assert command.main([*given, "--bundle", str(tiny_bundle.path), "--judging"]) == 0
    rows = json.loads((out / "metrics.json").read_text())["rows"]
    for n, name in enumerate("ABJ"):
        truth, labels = scan(10 + n, 12 + 6 * n)
        want = look(truth.array, labels.tumour, labels.liver, truth.geometry.spacing)
        assert rows["blobs_per_100ml"][f"real_{name}"]["mean"] == pytest.approx(want["blobs_per_100ml"])
    blobs, noise = rows["blobs_per_100ml"], rows["noise_sd_hu"]
    assert blobs["real_high"]["mean"] == blobs["real_B"]["mean"] < blobs["real_J"]["mean"]
    assert noise["real_low"]["mean"] == pytest.approx(15, rel=0.06) and noise["real_low"]["n"] == 4
    # a simulation changes nothing but the tumour and a rim of it: the noise of the liver is the scanner's
    own = (noise["before_A"]["mean"] + noise["before_B"]["mean"]) / 2
    assert noise["bundle"]["mean"] == pytest.approx(own, rel=0.02)
    assert noise["bundle_J"]["n"] == 1 and blobs["world"]["n"] == 1
    assert rows["arterial_liver_hu"]["before_A"]["mean"] == pytest.approx(110, abs=2)
    assert (out / "judging.log").read_text().count("\tJ\trun 1") == 1


def test_an_outline_is_carried_where_the_scan_after_has_none(tmp_path, monkeypatch) -> None:
    before, labels = scan(1, 0)
    place = np.array(before.geometry.affine)
    place[:3, 3] += [6, -9, 40]
    after = Volume(before.array, Geometry(before.geometry.shape, place))
    for name, volume in (("before", before), ("after", after)):
        io.write_volume(volume, tmp_path / f"{name}.nrrd")
    io.write_labels(labels, tmp_path / "labels.seg.nrrd")
    runs = []

    def known(fixed: Volume, labels: LabelMap, moving: Volume, settings: Registration) -> Registered:
        runs.append(moving)
        shift = sitk.TranslationTransform(3, (-6.0, 9.0, 40.0))  # LPS, fixed to moving
        return Registered(moving, np.ones(fixed.array.shape, bool), shift, {})

    monkeypatch.setattr(scans, "register", known)
    first, last = tmp_path / "before.nrrd", tmp_path / "after.nrrd"
    files = PairFiles("A", first, tmp_path / "labels.seg.nrrd", last, Protocol.parse("Lipiodol"), after_native=last)
    seen = scans.after_scan(files)
    middle = seen.labels.geometry.to_ras(np.argwhere(seen.labels.tumour).mean(0))
    want = after.geometry.to_ras(np.argwhere(labels.tumour).mean(0))
    assert middle == pytest.approx(want, abs=0.2)
    assert seen.labels.tumour.sum() == labels.tumour.sum()
    both = scans.after_scan(replace(files, after_arterial=last), arterial=True)
    assert both.labels.tumour.sum() == labels.tumour.sum() and len(runs) == 2
    scans.after_scan(replace(files, after_arterial=last))
    assert len(runs) == 2  # the second phase of a patient is not registered again
    assert scans.before_scan(files) is None and scans.after_scan(files, arterial=True) is None
    with pytest.raises(InputError, match="without tumour"):
        scans.Seen.cut("A", before, labels.with_array(np.ones(labels.array.shape, np.uint8)))


def test_drawn_patients_are_scanned_in_one_phase_on_a_scanners_grid() -> None:
    given = Protocol.parse("Doxorubicin + Lipiodol")
    for one in list(scans.drawn_scans(2, given, version=2)):
        assert one.ct.phase == "portal" and one.labels.tumour.any()
        assert one.ct.geometry.spacing == pytest.approx(scans.SCANNER_MM)
    for phase in ("portal", "arterial"):
        newest = list(scans.drawn_scans(2, given, phase))
        assert len(newest) == 2
        for one in newest:
            own = draw_patient(int(one.patient.removeprefix("drawn ")), 3).scanner
            assert one.ct.phase == phase and one.labels.tumour.any()
            assert one.ct.geometry.spacing == pytest.approx(own.spacing)
    assert list(scans.drawn_scans(0, None)) == []
