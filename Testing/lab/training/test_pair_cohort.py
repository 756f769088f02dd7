"""Pairs of a hospital: read, refused, encoded once, split by person."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.io import write_labels, write_volume
from MeWMLib.lab.training import pair_cohort
from MeWMLib.lab.training.pair_cohort import encode_cohort, key_of, load_pair, read_cohort, split
from MeWMLib.perception.registration import Registration
from Testing.perception.moved_pair import COARSE, moved_pair

HEADER = "patient,before,labels,after,protocol,side,weeks,judging\n"


def write(folder: Path, *lines: str) -> Path:
    (folder / "pairs.csv").write_text(HEADER + "".join(f"{one}\n" for one in lines), encoding="utf-8")
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder of files that nobody can read: whoever opens one fails."""
    for name in ("a.nii", "l.nii", "b.nii", "HCC_009_post.nii"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_folder_needs_a_list(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="(?s)no list.*pairs.csv"):
        read_cohort(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "P2,a.nii,l.nii,b.nii,Lipiodol,back,7,yes",
        "HCC_009,a.nii,l.nii,b.nii,Lipiodol,front,4.7,",
        "hcc 009,a.nii,l.nii,b.nii,Lipiodol,front,4.7,no",
        "P3,a.nii,l.nii,HCC_009_post.nii,Lipiodol,front,4.7,no",
    ],
)
def test_patients_for_judging_are_refused_before_a_file_is_opened(empty: Path, line: str) -> None:
    folder = write(empty, "P1,a.nii,l.nii,b.nii,Lipiodol,,,no", line)
    name = line.split(",")[0]
    for act in (read_cohort, lambda where: encode_cohort(where, empty / "cache")):
        with pytest.raises(InputError, match=f"(?s)never trained on.*{name}") as caught:
            act(folder)
        assert "P1" not in str(caught.value)
    assert not (empty / "cache").exists()


def test_names_that_only_look_alike_are_taken(empty: Path) -> None:
    folder = write(empty, "HCC_0091,a.nii,l.nii,b.nii,Lipiodol,,,no", "HCC_010,a.nii,l.nii,b.nii,Lipiodol,,,")
    assert [pair.patient for pair in read_cohort(folder)] == ["HCC_0091", "HCC_010"]


def test_the_key_follows_from_contents_and_statements(empty: Path) -> None:
    (pair,) = read_cohort(write(empty, "P1,a.nii,l.nii,b.nii,Lipiodol,back,7,no"))
    key, how = key_of(pair, ["A"], COARSE), Registration()
    assert key == key_of(replace(pair), ["A"], COARSE)
    others = [
        key_of(pair, ["A", "B"], COARSE), key_of(pair, ["A"], how), key_of(replace(pair, weeks=8), ["A"], COARSE),
        key_of(replace(pair, side="front"), ["A"], COARSE), key_of(replace(pair, recorded=False), ["A"], COARSE),
        key_of(replace(pair, labels_after=pair.labels), ["A"], COARSE),
        key_of(replace(pair, before_native=pair.before), ["A"], COARSE),
        key_of(replace(pair, after_native=pair.before), ["A"], COARSE),
    ]  # fmt: skip
    assert len({key, *others}) == 9
    (empty / "b.nii").write_bytes(b"other")
    assert key_of(pair, ["A"], COARSE) not in {key, *others}
    # a folder of slices counts by its files
    series = empty / "series"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"one")
    first = key_of(replace(pair, after=series), ["A"], COARSE)
    (series / "2.dcm").write_bytes(b"two")
    assert key_of(replace(pair, after=series), ["A"], COARSE) != first


def test_persons_stay_together_and_on_their_side() -> None:
    names = [f"P{n}/{session}" for n in range(200) for session in (1, 2)]
    train, validation = split(names)
    assert sorted(train + validation) == sorted(names)
    assert not {n.split("/")[0] for n in train} & {n.split("/")[0] for n in validation}
    assert 0.12 < len(validation) / len(names) < 0.28
    few, _ = split(names[:100])
    assert set(few) <= set(train)
    assert split(names, 0.0) == (names, [])
    with pytest.raises(CohortError, match="(?s)left to train on.*400"):
        split(names, 1.0)


def test_a_folder_is_registered_and_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, labels, after, _ = moved_pair()
    folder = tmp_path / "hospital"
    folder.mkdir()
    write_volume(before, folder / "a.nii.gz")
    write_labels(labels, folder / "l.nii.gz")
    write_volume(after, folder / "b.nii.gz")
    write(folder, "P/1,a.nii.gz,l.nii.gz,b.nii.gz,Doxorubicin 50 mg + Lipiodol,,,")
    steps: list[tuple[str, float]] = []
    found = encode_cohort(
        folder, tmp_path / "cache", settings=COARSE, on_step=lambda n, share: steps.append((n, share))
    )
    assert list(found) == ["P/1"] and steps == [("P/1", 1.0)] and found["P/1"].parent == tmp_path / "cache"
    maps = load_pair(found["P/1"])
    # half of the tumour was filled with 450 HU in place of 70, and the scan was moved by some mm
    z = labels.geometry.to_ras(np.argwhere(labels.tumour))[:, 2]
    true = (z > 4).sum() * labels.geometry.voxel_ml * 380 / 26
    assert maps["iodine"].sum(dtype=float) * 0.064 == pytest.approx(true, rel=0.2)
    assert str(maps["patient"]) == "P/1" and np.isnan(maps["weeks"]).all() and not maps["known_tumour"].any()
    monkeypatch.setattr(pair_cohort, "encode_pair", lambda pair, agents: pytest.fail("encoded twice"))
    assert encode_cohort(folder, tmp_path / "cache", settings=COARSE) == found
