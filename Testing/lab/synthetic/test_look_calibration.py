"""Fitting the look of the world: which scans are opened, and what is made of their statistics."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.look import LOOK
from MeWMLib.core.errors import CohortError
from MeWMLib.core.io import write_labels, write_volume
from MeWMLib.core.volume import LabelMap, Volume, centred_grid
from MeWMLib.lab.synthetic import look_calibration, look_scans
from MeWMLib.lab.synthetic.look_calibration import DEPOSITS, LEVELS, NOISE, compared, distance, fit, medians, moved
from MeWMLib.lab.synthetic.look_scans import PATIENTS, liver_level, native_scan, scan_path

JUDGES = "HCC_009"


GRID = centred_grid(np.zeros(3), (12, 48, 60), np.array([2.0, 2.0, 4.0]))
X, Y = np.moveaxis(GRID.to_ras(np.moveaxis(np.indices(GRID.shape), 0, -1)), -1, 0)[:2]
LIVER, TUMOUR = ((X - 22) ** 2 + Y**2 < radius**2 for radius in (26, 14))


def body(level: float, seed: int, oil: float = 0.0) -> Volume:
    """A trunk of fat with a liver of some density on the right and muscle elsewhere; a tumour with oil in the liver."""
    hu = np.full(GRID.shape, -1000.0)
    hu[(X / 56) ** 2 + (Y / 44) ** 2 < 1] = -100
    hu[(X + 30) ** 2 + Y**2 < 15**2] = 55
    hu[LIVER] = level
    rng = np.random.default_rng(seed)
    noisy = hu + rng.normal(0, 12, hu.shape)
    noisy[TUMOUR & (rng.random(hu.shape) < 0.2)] += oil
    return Volume(noisy.astype(np.int16), GRID, "portal")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder as the command wants it, and in it every file of a patient that is kept for judging, too."""
    for patient in (*PATIENTS, JUDGES):
        for when in ("pre", "post"):
            ct = body(110, hash_of(patient, when), 600.0 if when == "post" else 0.0)
            labels = LabelMap(LIVER.astype(np.uint8) + TUMOUR, GRID)
            write_volume(ct, tmp_path / f"{patient}_{when}_portal_tumour_native.nii.gz")
            write_labels(labels, tmp_path / f"{patient}_{when}_portal_labels_APPROX_1p5mm.nii.gz")
            for phase, level in (("portal", 110), ("arterial", 62)):
                write_volume(body(level, hash_of(patient, when)), tmp_path / f"{patient}_{when}_{phase}_1p5mm.nii.gz")
    return tmp_path


def hash_of(*words: str) -> int:
    return sum(map(ord, "".join(words)))


def test_the_command_opens_nothing_of_those_who_judge(
    scans: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Path] = []
    for name in ("read_volume", "read_labels"):
        real = getattr(look_scans, name)

        def spy(path: Path, *args: Any, _real: Any = real, **more: Any) -> Any:
            opened.append(Path(path))
            return _real(path, *args, **more)

        monkeypatch.setattr(look_scans, name, spy)
    # whatever opens it in another way finds nothing that can be read
    for file in scans.glob(f"{JUDGES}*"):
        file.write_bytes(b"not an image")
    out = scans / "result.json"
    assert look_calibration.main(["--scans", str(scans), "--patients", "1", "--quiet", "--out", str(out)]) == 0
    names = {path.name.split("_p")[0] for path in opened}
    assert names == set(PATIENTS) and not any(JUDGES in path.name for path in opened)
    result = json.loads(out.read_text())
    assert result == json.loads(capsys.readouterr().out)
    assert result["patients"] == {"real": ["HCC_004", "HCC_007"], "drawn": 1}
    assert set(result["statistics"]) == {*DEPOSITS, *NOISE} and set(result["origins"]) == set(result["constants"])
    assert result["liver_hu"]["HCC_002 pre_arterial"] == pytest.approx(62, abs=4)


def test_those_who_judge_are_refused_by_name(scans: Path) -> None:
    assert JUDGES not in PATIENTS and JUDGES not in LEVELS
    for patient in (JUDGES, "HCC_010", "../HCC_009", "HCC_004/../HCC_009"):
        with pytest.raises(CohortError, match="not fitted to this patient"):
            scan_path(scans, patient, "pre_portal_1p5mm")
    with pytest.raises(CohortError, match="not fitted to this patient"):
        native_scan(scans, JUDGES, "post")
    with pytest.raises(CohortError, match="lacks a scan"):
        scan_path(scans, "HCC_002", "pre_delayed_1p5mm")


def test_a_scan_brings_its_labels_to_its_own_voxels(scans: Path) -> None:
    before, after = (native_scan(scans, "HCC_004", when) for when in ("pre", "post"))
    assert before.tumour.sum() > 100 and (before.liver >= before.tumour).all()
    assert before.look()["share_300_percent"] == 0
    assert after.look()["share_300_percent"] == pytest.approx(20, abs=3)


@pytest.mark.parametrize("level", [58.0, 95.0, 135.0])
def test_the_liver_is_found_without_labels(level: float) -> None:
    assert liver_level(body(level, 3)) == pytest.approx(level, abs=4)
    air = body(level, 3)
    with pytest.raises(CohortError, match="shows no body"):
        liver_level(replace(air, array=np.full_like(air.array, -1000)))


def statistics(**known: float) -> dict[str, float]:
    return dict.fromkeys((*DEPOSITS, *NOISE), 1.0) | known


def test_near_means_within_the_range_or_a_quarter_beyond_it() -> None:
    real = {"a post": statistics(hu_50=100.0), "b post": statistics(hu_50=200.0), "a pre": statistics(hu_50=9.0)}
    for value, near in ((76.0, True), (74.0, False), (249.0, True), (251.0, False), (150.0, True)):
        rows = compared(real, [statistics(hu_50=value)])
        assert rows["hu_50"]["near"] is near and rows["hu_50"]["real"] == [100.0, 200.0]
    # noise is compared with every scan, and deposits of patients who have one
    real = {"a pre": statistics(noise_sd_hu=10.0), "a post": statistics(noise_sd_hu=20.0)}
    rows = compared(real, [statistics(share_300_percent=0.0, hu_50=5.0), statistics(hu_50=2.0)])
    assert rows["noise_sd_hu"]["real"] == [10.0, 20.0] and rows["hu_50"]["drawn"][1] == 2.0
    assert rows["hu_50"]["n_drawn"] == 1 and rows["noise_sd_hu"]["n_drawn"] == 2


def test_distance_is_zero_for_the_same_and_grows() -> None:
    one = [statistics()]
    near, far = ([statistics(hu_50=v)] for v in (1.25, 2.0))
    assert distance(one, one, DEPOSITS) < 0.01 < distance(one, near, DEPOSITS) < distance(one, far, DEPOSITS)
    assert medians([statistics(hu_50=float("nan")), statistics(hu_50=3.0)])["hu_50"] == 3.0
    assert np.isfinite(distance(one, [statistics(hu_50=float("nan"))], DEPOSITS))


def test_constants_move_by_factors_and_shares_stay_shares() -> None:
    changed = moved(LOOK, {"oil_share": np.log(2), "piece_mm": np.log(0.5), "haze": 9.0, "oil_fill": 9.0})
    assert changed.oil_share == pytest.approx(2 * LOOK.oil_share)
    assert changed.grains.piece_mm == pytest.approx(0.5 * LOOK.grains.piece_mm)
    assert changed.grains.haze <= 0.8 and changed.oil_fill <= 0.95 and moved(LOOK, {}) == LOOK


def test_the_fit_comes_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn statistics are replaced by a simple function of one constant, whose best value is known."""

    def drawn(seed: int, constants: Any) -> dict[str, float]:
        return statistics(share_300_percent=constants.oil_share / LOOK.oil_share)

    monkeypatch.setattr(look_calibration, "drawn_deposits", drawn)
    monkeypatch.setattr(look_calibration, "_large", lambda count: [1])
    real = {"x post": statistics(share_300_percent=3.0), "x pre": statistics()}
    found = fit(real, 150)
    assert found.oil_share / LOOK.oil_share == pytest.approx(3, rel=0.25)
