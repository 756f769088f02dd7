"""Synthetic tumours in a real CT: the scan stays what it is elsewhere, the law holds, everything is marked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.cohorts.layout import PATIENT, Cohort
from MeWMLib.core.errors import CohortError, GeometryError, GeometryMismatchError, InputError, LabelError
from MeWMLib.core.io import read_volume, write_labels, write_volume
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.synthetic import planted
from MeWMLib.lab.synthetic.__main__ import main
from MeWMLib.lab.synthetic.plant import (
    BASE,
    PlantSettings,
    patient_id,
    plant,
    planted_counterfactual,
    read_abdomen,
)
from MeWMLib.lab.synthetic.planted import Abdomen, PlantedPatient, healed
from MeWMLib.lab.synthetic.write import fingerprint, held_out_seeds

STRONG, WEAK = Protocol.parse("Doxorubicin + Cisplatin + Lipiodol + Gelatin Sponge"), Protocol.parse("Nedaplatin")
NOISE_HU = 9.0


def scan(phase: str = "portal", lesions: bool = True) -> tuple[Volume, LabelMap]:
    """A trunk of fat with a liver of 110 HU, a bright vessel, noise, and two dark lesions."""
    affine = np.diag([-3.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = [85, 75, -60]
    geometry = Geometry((32, 50, 58), affine)
    x, y, z = np.moveaxis(
        geometry.to_ras(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)), -1, 0
    )
    hu = np.full(geometry.shape, -95.0)
    liver = (x / 66) ** 2 + (y / 55) ** 2 + (z / 50) ** 2 < 1
    hu[liver] = 110
    vessel = liver & (np.hypot(y + 20, z) < 5)
    hu[vessel] = 165
    lesion = ((x - 25) ** 2 + y**2 + z**2 < 11**2) | ((x + 30) ** 2 + (y - 20) ** 2 + z**2 < 8**2)
    labels = liver.astype(np.uint8)
    if lesions:
        hu[lesion] = 55
        labels[lesion] = 2
    noise = np.random.default_rng(3).normal(size=hu.shape)
    noise = ndimage.gaussian_filter(noise, 0.5)
    hu += NOISE_HU * noise / noise.std()
    return Volume(np.round(hu).astype(np.int16), geometry, phase), LabelMap(labels, geometry)


@pytest.fixture(scope="module")
def abdomen() -> Abdomen:
    base, alone, _ = healed(*scan())
    return Abdomen.of(base, alone)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return plant(tmp_path_factory.mktemp("planted") / "new", *scan(), PlantSettings("test", 0, 3))


def test_real_lesions_become_liver() -> None:
    ct, labels = scan()
    base, alone, volume = healed(ct, labels)
    lesion = labels.tumour
    assert volume > float(lesion.sum()) * ct.geometry.voxel_ml  # with their rim
    assert set(np.unique(alone.array)) == {0, 1} and np.array_equal(alone.array == 1, labels.liver)
    healthy, _ = scan(lesions=False)
    assert abs(float(base.array[lesion].mean()) - float(healthy.array[lesion].mean())) < 6
    assert float(base.array[lesion].std()) == pytest.approx(NOISE_HU, rel=0.35)
    far = ndimage.distance_transform_edt(~lesion, sampling=ct.geometry.spacing) > planted.RIM_MM
    assert np.array_equal(base.array[far], ct.array[far])
    assert healed(*scan(lesions=False))[2] == 0.0


def test_the_noise_has_the_neighbours_of_the_livers() -> None:
    ct, labels = scan(lesions=False)
    grain = planted.grain_of(ct.array.astype(np.float32), labels.liver, ct.geometry)
    made = planted._noise_like(grain, labels.liver, 0)

    def lag(field: np.ndarray, axis: int) -> float:
        a, b = (np.take(field, range(n, field.shape[axis] - 1 + n), axis).ravel() for n in (0, 1))
        return float(np.corrcoef(a, b)[0, 1])

    assert made.std() == pytest.approx(grain[labels.liver].std(), rel=0.05)
    for axis in range(3):
        inside = np.where(labels.liver, grain, 0)
        assert lag(made, axis) == pytest.approx(max(lag(inside, axis), 0), abs=0.15)


def test_elsewhere_every_voxel_is_the_scans(abdomen: Abdomen) -> None:
    patient = PlantedPatient.draw(abdomen, 200_000)
    before, after = patient.render(), patient.render(STRONG)
    for drawn in (before, after):
        near = ndimage.binary_dilation(drawn.labels == 2, iterations=3)
        assert (drawn.labels == 2).any() and np.array_equal(drawn.hu[~near], abdomen.hu[~near])
        assert np.array_equal(drawn.hu[~abdomen.liver], abdomen.hu[~abdomen.liver])
        assert not (drawn.labels == 2)[~abdomen.liver].any()
    assert np.abs(after.hu - before.hu)[before.labels == 2].mean() > 10
    assert before.viable.any() and not before.lipiodol.any() and after.lipiodol.any()
    assert (after.hu[after.lipiodol] > 180).mean() > 0.8


def test_the_law_decides_what_lives(abdomen: Abdomen) -> None:
    for seed in (200_000, 200_001, 200_002):
        patient = PlantedPatient.draw(abdomen, seed)
        (strong, low, *_), (weak, high, *_) = patient.outcome(STRONG), patient.outcome(WEAK)
        assert patient.response(STRONG).necrosis > patient.response(WEAK).necrosis
        share = [float(d.viable.sum()) / float((d.labels == 2).sum()) for d in (strong, weak)]
        assert share[0] < share[1]
        assert low - patient.response(STRONG).toxicity < high - patient.response(WEAK).toxicity


def test_a_planted_tumour_is_as_grainy_as_the_liver(abdomen: Abdomen) -> None:
    patient = PlantedPatient.draw(abdomen, 200_000)
    drawn = patient.render()
    deep = ndimage.binary_erosion(drawn.labels == 2)
    fine = planted.grain_of(drawn.hu, abdomen.liver, abdomen.geometry)
    assert fine[deep].std() == pytest.approx(abdomen.grain[abdomen.liver].std(), rel=0.6)


def test_the_seed_decides(abdomen: Abdomen) -> None:
    one, same, other = (PlantedPatient.draw(abdomen, s) for s in (200_000, 200_000, 200_001))
    assert np.array_equal(one.render(STRONG).hu, same.render(STRONG).hu)
    assert not np.array_equal(one.render().labels, other.render().labels)
    assert one.outcome(STRONG)[1:] == same.outcome(STRONG)[1:]


def test_both_scans_are_marked_and_the_manifest_says_what_they_are(written: Cohort) -> None:
    assert written.synthetic and written.manifest["planted"] and len(written.rows) == 3
    assert "no scan" not in written.manifest["notice"] and "clinical evidence" in written.manifest["notice"]
    assert written.manifest["painted_over_ml"] > 1 and written.manifest["phase"] == "portal"
    row = written.rows[0]
    case = written.case(row.id)
    for image, protocol in ((case.before, "none (tumours planted in a real CT)"), (case.after, row.protocol)):
        assert image.simulated is not None and image.simulated.protocol == protocol
        assert image.simulated.bundle == "synthetic-world-2-planted" and image.simulated.bundle_sha256 == fingerprint()
    assert json.loads((written.folder / row.id / PATIENT).read_text())["planted"] is True
    assert read_volume(written.folder / BASE).simulated is not None
    assert row.diameter_before_mm is not None and row.diameter_before_mm > 10 and row.months > 0
    drawn = PlantedPatient.draw(read_abdomen(written.folder), 200_000)
    assert np.array_equal(case.before.array, np.round(drawn.render().hu)) and row.tumour_type == drawn.traits.kind


def test_a_counterfactual_of_the_given_protocol_is_the_scan_after(written: Cohort) -> None:
    row = written.rows[1]
    volume, risk = planted_counterfactual(written, row.id, Protocol.parse(row.protocol))
    # doses in the table have six digits
    assert np.abs(volume.array.astype(int) - written.case(row.id).after.array).mean() < 0.05
    assert risk == pytest.approx(row.true_log_risk, abs=1e-3) and volume.simulated is not None
    other, _ = planted_counterfactual(written, row.id, WEAK)
    assert not np.array_equal(other.array, volume.array)


def test_a_stopped_run_goes_on_and_another_ct_is_refused(written: Cohort) -> None:
    steps: list[float] = []
    again = plant(written.folder, *scan(), PlantSettings("test", 0, 4), lambda _, share: steps.append(share))
    assert again.rows[:3] == written.rows and steps == [1.0]
    ct, labels = scan()
    with pytest.raises(CohortError, match="another cohort"):
        plant(written.folder, ct.with_array(ct.array + np.int16(5)), labels, PlantSettings("test", 0, 5))
    assert patient_id("a", 1) != patient_id("b", 1) != patient_id("b", 2)


def test_evaluation_refuses_such_a_cohort(written: Cohort) -> None:
    with pytest.raises(CohortError, match="planted in a real CT"):
        held_out_seeds(written)


def test_what_cannot_be_planted_is_said() -> None:
    ct, labels = scan()
    with pytest.raises(LabelError, match="no liver"):
        Abdomen.of(ct, labels.with_array(np.zeros_like(labels.array)))
    with pytest.raises(LabelError, match="nothing but lesions"):
        healed(ct, labels.with_array((2 * (labels.array > 0)).astype(np.uint8)))
    with pytest.raises(InputError, match="contrast phase") as caught:
        Abdomen.of(replace(ct, phase="unknown"), labels)
    assert "--phase" in caught.value.remedy
    assert Abdomen.of(replace(ct, phase="unknown"), labels, "arterial").phase == "arterial"
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    oblique = Geometry(ct.geometry.shape, turn @ ct.geometry.affine)
    with pytest.raises(GeometryError, match="axis-aligned"):
        Abdomen.of(replace(ct, geometry=oblique), LabelMap(labels.array, oblique))
    with pytest.raises(GeometryMismatchError):
        plant(Path("never"), ct, LabelMap(labels.array, oblique), PlantSettings())
    with pytest.raises(InputError, match="do not lie"):
        PlantSettings("test", 9_999, 2)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct, labels = scan(phase="unknown")
    write_volume(ct, tmp_path / "ct.nii.gz")
    write_labels(labels, tmp_path / "labels.nii.gz")
    common = ["synthesize", "--ct", str(tmp_path / "ct.nii.gz"), "--n", "1", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(common) == 2 and "--labels" in capsys.readouterr().err
    common += ["--labels", str(tmp_path / "labels.nii.gz")]
    assert main([*common, "--spacing", "3,3,3"]) == 2 and "grid of the CT" in capsys.readouterr().err
    assert main(common) == 2 and "--phase" in capsys.readouterr().err
    assert main([*common, "--phase", "portal"]) == 0
    assert json.loads(capsys.readouterr().out)["notice"].startswith("Synthetic tumours")
    row = Cohort.read(tmp_path / "out").rows[0]
    asked = ["counterfactual", "--cohort", str(tmp_path / "out"), "--patient", row.id, "--protocol", WEAK.text]
    assert main([*asked, "--out", str(tmp_path / "other.nrrd")]) == 0
    mark = read_volume(tmp_path / "other.nrrd").simulated
    assert mark is not None and mark.protocol == WEAK.text


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_ct(shared_data: Path) -> None:
    """HCC_009's scan before treatment with the approximate labels: its large mass is painted over."""
    from MeWMLib.core.io import parse_label_values, read_labels

    folder = shared_data / "hcc009_1p5mm"
    ct = read_volume(folder / "HCC_009_pre_portal_1p5mm.nii.gz")
    values = parse_label_values("1=liver,2=tumour,3=liver,4=background")
    path = folder / "HCC_009_pre_portal_seg4_APPROX_1p5mm.nii.gz"
    base, alone, volume = healed(ct, read_labels(path, ct.geometry, resample=True, values=values))
    assert volume > 100
    patient = PlantedPatient.draw(Abdomen.of(base, alone, "portal"), 200_001)
    drawn, risk, months, _ = patient.outcome(STRONG)
    assert (drawn.labels == 2).any() and np.isfinite(risk) and months > 0
