"""A scan after treatment, registered, measured and judged: on phantoms whose response is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MeWMLib.core.errors import CancelledError, GeometryMismatchError, InputError, RegistrationError
from MeWMLib.core.patient import Findings, Patient
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume
from MeWMLib.perception.registration import Registration
from MeWMLib.world.assessment import Assessment, assess_pair, known_phase, require_tumour_shown

QUICK = Registration(spacing_mm=6.0, shrink=(2, 1), mesh_mm=90.0, levels=1, iterations=6, sampling=0.5)
LESION, SECOND = (28.0, 8.0, 4.0), (4.0, -10.0, -14.0)


def grid(origin: tuple[float, float, float] = (90.0, 75.0, -60.0)) -> Geometry:
    affine = np.diag([-3.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = origin
    return Geometry((32, 50, 60), affine)


def scan(
    lesions: dict[tuple[float, float, float], tuple[float, float]],
    move: tuple[float, float, float] = (0.0, 0.0, 0.0),
    seed: int = 0,
    geometry: Geometry | None = None,
) -> tuple[Volume, LabelMap]:
    """An arterial scan of a trunk with liver, vessel, spleen and spine; lesions by centre: radius (mm) and HU."""
    geometry = geometry or grid()
    ras = geometry.to_ras(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)) - np.array(move)
    x, y, z = np.moveaxis(ras, -1, 0)
    hu = np.full(geometry.shape, -1000.0)
    hu[(x / 78) ** 2 + (y / 60) ** 2 < 1] = -90
    hu[(x / 66) ** 2 + (y / 50) ** 2 < 1] = 45
    liver = ((x - 22) / 38) ** 2 + ((y - 4) / 36) ** 2 + (z / 44) ** 2 < 1
    hu[liver] = 75
    hu[liver & ((x - 10) ** 2 + (y + 5) ** 2 < 25)] = 130
    hu[((x + 35) / 14) ** 2 + ((y - 15) / 20) ** 2 + ((z + 8) / 25) ** 2 < 1] = 180
    spine = x**2 + (y + 36) ** 2 < 12**2
    hu[spine] = (320 + 60 * np.sin(z / 9))[spine]
    labels = liver.astype(np.uint8)
    for centre, (radius, value) in lesions.items():
        ball = np.linalg.norm(ras - centre, axis=-1) < radius
        hu[ball], labels[ball] = value, 2
    hu += np.random.default_rng(seed).normal(0, 6, hu.shape)
    return Volume(np.rint(hu).astype(np.int16), geometry, "arterial"), LabelMap(labels, geometry)


def patient(ct: Volume, labels: LabelMap) -> Patient:
    return Patient("phantom", ct, labels, Findings(0.0, None, ()))


BEFORE = scan({LESION: (17.0, 130.0), SECOND: (8.0, 130.0)})


@pytest.fixture(scope="module")
def responding() -> Assessment:
    """The large lesion shrinks and dies but for a nodule, the small one vanishes; the patient lies elsewhere."""
    far = grid((96.0, 70.0, -52.0))
    after, labels = scan({LESION: (10.0, 20.0)}, (6.0, -8.0, 5.0), 1, far)
    return assess_pair(patient(*BEFORE), after, labels, settings=QUICK)


def test_a_response_is_read_through_the_registration(responding: Assessment) -> None:
    found = responding.response
    assert [(m.before, m.after, m.kind) for m in found.matches] == [((1,), (1,), "same"), ((2,), (), "gone")]
    assert found.recist.category == "PR" and found.recist.targets == (1, 2)
    assert found.recist.before_mm == pytest.approx(34 + 16, abs=6)
    assert found.recist.after_mm == pytest.approx(20, abs=4)
    assert found.mrecist.category == "CR"  # what is left does not enhance
    assert [one.category for one in found.lirads] == ["LR-TR Nonviable", "LR-TR Nonviable"]
    assert responding.verdict.word in ("good", "fair") and "rigid" in responding.registered.kept
    assert responding.registered.quality["liver_dice_after"] > 0.9 > responding.registered.quality["liver_dice_before"]


def test_the_result_has_a_form_in_json(responding: Assessment) -> None:
    data = responding.to_json()
    assert data["volumes_ml"]["before"]["volume"] == pytest.approx(4 / 3 * np.pi * (17**3 + 8**3) / 1000, rel=0.1)
    assert data["volumes_ml"]["after"]["viable"] == 0
    assert data["recist"]["category"] == "PR" and data["phases"]["after"]["phase"] == "arterial"
    names = [stage["name"] for stage in data["registration"]["stages"]]
    assert names == ["as it was", "shift", "rigid", "liver", "affine", "deformable", "outlines"]
    assert all(stage["reason"] for stage in data["registration"]["stages"])


def test_another_body_a_mirrored_and_another_part_are_stopped_unless_accepted() -> None:
    after, labels = scan({LESION: (17.0, 130.0)}, seed=1)
    mirrored = after.with_array(np.ascontiguousarray(after.array[:, :, ::-1]))
    outlines = LabelMap(np.ascontiguousarray(labels.array[:, :, ::-1]), labels.geometry)
    for ct, known in (
        (mirrored, outlines),
        (after.with_array(np.full_like(after.array, -1000)), labels.with_array(np.zeros_like(labels.array))),
    ):
        with pytest.raises(RegistrationError, match=r"liver Dice .* \(at least 0\.8\).*--no-register.*--accept-reg"):
            assess_pair(patient(*BEFORE), ct, known, settings=QUICK)
    going_on = assess_pair(patient(*BEFORE), mirrored, outlines, settings=QUICK, accepted=True)
    assert going_on.verdict.word == "failed" and going_on.verdict.missed


def test_a_scan_that_the_user_registered_is_measured_where_it_is() -> None:
    after, labels = scan({LESION: (12.0, 130.0)}, (9.0, 0.0, 0.0), 1)
    said: list[str] = []
    found = assess_pair(patient(*BEFORE), after, labels, registered=True, accepted=True, log=said.append)
    assert found.registered.kept == ("as it was",) and "your own" not in said[0] and "user" in said[0]
    assert np.array_equal(np.rint(found.registered.ct.array), after.array)
    moved = assess_pair(patient(*BEFORE), after, labels, settings=QUICK)
    assert moved.registered.quality["near_correlation_after"] > found.registered.quality["near_correlation_after"]


def test_the_same_scan_is_not_moved() -> None:
    found = assess_pair(patient(*BEFORE), *BEFORE)
    assert found.registered.kept == ("as it was",) and found.verdict.word == "good"
    assert found.response.recist.category == "SD" and found.response.recist.percent == 0


def test_a_simulated_scan_and_an_unknown_phase_are_refused() -> None:
    after, labels = BEFORE
    marked = replace(after, simulated=Provenance("Cisplatin + Lipiodol", 0, "b", "0"))
    with pytest.raises(InputError, match="simulated"):
        assess_pair(patient(*BEFORE), marked, labels)
    with pytest.raises(InputError, match=r"phase.*late.*Use one of"):
        assess_pair(patient(*BEFORE), after, labels, stated=("", "late"))
    assert known_phase(after).phase == "arterial" and known_phase(after, "portal").phase == "portal"
    empty = after.with_array(np.full_like(after.array, -1000))
    found = known_phase(replace(empty, phase="unknown"))
    assert found.phase == "unknown" and "not found" in found.reason


def test_what_a_stage_raises_ends_the_registration() -> None:
    def stop(fraction: float, name: str) -> None:
        if name == "rigid":
            raise CancelledError(what="stopped")

    after, labels = scan({LESION: (12.0, 130.0)}, (9.0, 0.0, 0.0), 1)
    with pytest.raises(CancelledError):
        assess_pair(patient(*BEFORE), after, labels, settings=QUICK, on_stage=stop)


def test_a_tumour_that_the_scan_does_not_show_is_no_risk(responding: Assessment) -> None:
    require_tumour_shown(responding.registered, BEFORE[1])
    hidden = replace(responding.registered, covered=np.zeros(BEFORE[1].array.shape, bool))
    with pytest.raises(GeometryMismatchError, match="0 % of the tumour"):
        require_tumour_shown(hidden, BEFORE[1])


def test_the_picture_shows_three_slices_in_three_columns(responding: Assessment, tmp_path) -> None:
    import SimpleITK as sitk

    responding.write_picture(patient(*BEFORE), tmp_path / "picture.png")
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "picture.png")))
    # a line of titles above, two lines of a key below
    titles, key, pixels = pixels[:20], pixels[-40:], pixels[20:-40]
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.shape[0] % 3 == pixels.shape[1] % 3 == 0
    assert (titles > 200).any() and (np.ptp(key.astype(int), axis=2) > 100).any() and (key.min(axis=2) > 200).any()
    # 50 mm in pixels of 0.8 mm, ending 8 pixels from the corner
    foot = pixels[-8, :, :].min(axis=1) > 200
    assert foot[-8 - 62 : -8].all() and not foot[-7:].any()
    third = pixels.shape[1] // 3
    coloured = [
        bool((np.ptp(pixels[:, n * third : (n + 1) * third].astype(int), axis=2) > 100).any()) for n in range(3)
    ]
    assert coloured == [True, True, False]  # outlines on both scans, none on the checkerboard
