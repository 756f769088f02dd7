"""What a bundle was trained on: read from its manifest, refused where it cannot be, and compared with a case."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from MeWMLib.core.bundle import open_bundle
from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import BundleError
from MeWMLib.core.trained_on import CaseFacts, Training, outside

TRAINING = {
    "synthetic_patients": 3000, "real_pairs": 2, "diameter_mm": [5, 180], "lesions": [1, 6], "tumour_hu": [30, 140],
    "pixel_mm": [0.6, 1.0], "slice_mm": [1, 3], "phases": ["arterial", "portal"], "weeks": [3, 9],
}  # fmt: skip
INSIDE = CaseFacts([5.0, 60.0, 180.0], [45.0, 90.0, 140.0], 3, "portal", 0.8, 2.5, 5.0, False)


def with_training(bundle: Bundle, folder, training) -> Bundle:
    shutil.copytree(bundle.path, folder)
    data = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**data, "training": training}))
    return open_bundle(folder)


def test_a_manifest_says_it_and_its_checksum_holds_it(tiny_bundle: Bundle, tmp_path) -> None:
    assert tiny_bundle.manifest.training is None
    found = with_training(tiny_bundle, tmp_path / "a", TRAINING)
    training = found.manifest.training
    assert training is not None and training.diameter_mm == (5, 180) and training.phases == ("arterial", "portal")
    assert training.text.startswith("3000 synthetic patients and 2 real pairs of scans; lesions of 5 to 180 mm;")
    other = with_training(tiny_bundle, tmp_path / "b", {**TRAINING, "weeks": [3, 12]})
    assert len({tiny_bundle.sha256, found.sha256, other.sha256}) == 3
    part = with_training(tiny_bundle, tmp_path / "c", {"phases": ["portal"]}).manifest.training
    assert part is not None and part.text == "phases portal"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"diameter_mm": [180, 5]}, "diameter_mm"),
        ({"diameter_mm": [5]}, "2 values"),
        ({"diameter_mm": "5 to 180"}, "diameter_mm"),
        ({"tumour_hu": [-2000, 100]}, "tumour_hu"),
        ({"weeks": [-1, 9]}, "weeks"),
        ({"phases": ["venous"]}, "venous"),
        ({"real_pairs": -1}, "real_pairs"),
        ({"synthetic_patients": 2.5}, "synthetic_patients"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tiny_bundle: Bundle, tmp_path, change, told: str) -> None:
    with pytest.raises(BundleError, match="not valid") as caught:
        with_training(tiny_bundle, tmp_path / "a", {**TRAINING, **change})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "topic", "told"),
    [
        (
            {"diameters_mm": [60.0, 191.0, 4.96]},
            "diameter",
            "largest lesion is 191 mm (the bundle was trained on 5",
        ),
        ({"diameters_mm": [4.0]}, "diameter", "diameter of the lesion is 4 mm (the"),
        ({"tumour_hu": [10.0]}, "density", "10 HU"),
        ({"lesions": 9}, "lesions", "number of lesions is 9"),
        ({"phase": "unknown"}, "phase", "The contrast phase is not known"),
        ({"phase": "delayed"}, "phase", "The contrast phase is delayed"),
        ({"pixel_mm": 1.4}, "pixel", "1.40 mm"),
        ({"slice_mm": 5.0}, "slice", "5.00 mm"),
        ({"weeks": 26.0}, "weeks", "26 weeks"),
    ],
)
def test_what_lies_outside_is_said(change, topic: str, told: str) -> None:
    training = Training(**{key: tuple(v) if isinstance(v, list) else v for key, v in TRAINING.items()})
    assert outside(training, INSIDE) == ()
    (found,) = outside(training, replace(INSIDE, **change))
    assert (
        found.topic == f"limits-{topic}" and told in found.text and found.text.startswith("OUTSIDE of what the model")
    )


def test_a_real_patient_is_outside_of_synthetic_ones_and_silence_is_no_limit() -> None:
    synthetic = Training(synthetic_patients=10, real_pairs=0)
    assert [one.topic for one in outside(synthetic, INSIDE)] == ["limits-patients"]
    assert outside(synthetic, replace(INSIDE, synthetic=True)) == ()
    # of a file nobody knows whether its patient was drawn
    assert "is real" not in outside(synthetic, INSIDE)[0].text
    assert synthetic.patients == "10 synthetic patients and no real pairs of scans"
    assert outside(None, INSIDE) == () and outside(Training(), INSIDE) == ()
    assert outside(Training(weeks=(3, 9)), replace(INSIDE, weeks=None)) == ()


def test_specks_do_not_hide_the_mass_at_the_other_end() -> None:
    training = Training(diameter_mm=(10, 124), tumour_hu=(49, 162))
    case = replace(INSIDE, diameters_mm=[144.0, *[1.0] * 34, *[50.0] * 35], tumour_hu=[20.0, 300.0, 200.0, 90.0])
    size, density = (one for one in outside(training, case) if one.topic in ("limits-diameter", "limits-density"))
    assert (
        "The longest axial diameter of the largest lesion is 144 mm (the bundle was trained on 10 to 124 mm); "
        "34 of 70 lesions are smaller than 10 mm." in size.text
    )
    assert size.numbers == {"diameter": 144.0, "from": 10, "to": 124, "above": 1, "below": 34}
    assert "densest lesion is 300 HU" in density.text
    assert "2 of 4 lesions are denser than 162 HU; 1 of 4 lesions is less dense than 49 HU." in density.text
    # one rule with every other list of lesions: what is counted has no slack, which only keeps rounding from asking
    assert (
        "3 of 4 lesions are smaller than 10 mm"
        in outside(Training(diameter_mm=(10, 124)), replace(INSIDE, diameters_mm=[4.0, 9.95, 9.99, 10.0]))[0].text
    )
    assert outside(Training(diameter_mm=(10, 124)), replace(INSIDE, diameters_mm=[9.95])) == ()
    (low,) = outside(Training(diameter_mm=(10, 124)), replace(INSIDE, diameters_mm=[4.0, 6.0, 30.0]))
    assert "smallest lesion is 4 mm" in low.text and "2 of 3 lesions are smaller than 10 mm" in low.text
