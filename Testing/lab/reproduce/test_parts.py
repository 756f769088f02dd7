"""The parts of `mewm reproduce` by themselves: split, physicians, stored rows, organs, backbone, what is kept, page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from MeWMLib.cohorts.layout import CohortCase
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.io import write_labels
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation.montage import Tile
from MeWMLib.lab.evaluation.perceptual import fid, lpips, pooled
from MeWMLib.lab.reproduce import images
from MeWMLib.lab.reproduce.backbone import PublishedFeatures
from MeWMLib.lab.reproduce.kept import Kept, key_of
from MeWMLib.lab.reproduce.organs import without_outside
from MeWMLib.lab.reproduce.physicians import WITH, WITHOUT, physician_rows, read_choices
from MeWMLib.lab.reproduce.records import Record
from MeWMLib.lab.reproduce.responses import response_table
from MeWMLib.lab.reproduce.split import held_out
from MeWMLib.lab.reproduce.stored import stored_rows

GOLD = {"P1": Protocol.parse("Cisplatin + Lipiodol"), "P2": Protocol.parse("Doxorubicin + Lipiodol")}


@dataclass
class Patient:
    """What a split, or the table of responses, asks of a patient."""

    id: str
    protocol: Protocol | None = None
    judging: bool = False
    event: bool | None = True
    viable_before_mm: float | None = None
    viable_after_mm: float | None = None
    measured: dict[str, dict[str, float]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def row(self) -> Patient:
        return self

    @property
    def member(self) -> Patient:
        return self

    def features(self, which: str) -> dict[str, float] | None:
        return self.measured.get(which)

    def number(self, name: str) -> float:
        return self.numbers.get(name, float("nan"))


def test_a_split_takes_a_fifth_of_every_stratum_and_all_for_judging() -> None:
    plans = [Protocol.parse("Cisplatin + Lipiodol")] * 40 + [Protocol.parse("Doxorubicin + Lipiodol")] * 20
    patients: list[Any] = [Patient(f"P{n:02d}", plan, event=n % 2 == 0) for n, plan in enumerate(plans)]
    patients.append(Patient("HCC_009", plans[0], judging=True))
    chosen = held_out(patients, 0.2, seed=0)
    assert "HCC_009" in chosen and len(chosen) == 13
    for plan, event in ((p, e) for p in set(plans) for e in (True, False)):
        stratum = [p.id for p in patients if p.protocol == plan and p.event == event and not p.judging]
        assert len(chosen & set(stratum)) == len(stratum) // 5
    assert held_out(patients, 0.2, seed=0) == chosen != held_out(patients, 0.2, seed=1)
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(InputError, match="between 0 and 1"):
            held_out(patients, share, 0)
    with pytest.raises(InputError, match="would be empty"):
        held_out(patients[:2], 0.1, 0)


def choices_of(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "choices.csv"
    path.write_text("\n".join(["patient,physician,with_mewm,protocol", *lines]) + "\n", encoding="utf-8")
    return path


def test_physicians_with_and_without_by_hand_and_by_scipy(tmp_path: Path) -> None:
    path = choices_of(
        tmp_path,
        "P1,A,0,Doxorubicin + Lipiodol", "P1,A,1,Cisplatin + Lipiodol", "P1,B,without,Doxorubicin",
        "P2,A,with,Doxorubicin + Lipiodol", "P2,A,without,Doxorubicin", "P2,B,0,Doxorubicin + Lipiodol",
    )  # fmt: skip
    rows, paired = physician_rows(read_choices(path, ["P1", "P2"]), GOLD, 0)
    # F1 without: P1 is the mean of 50 (A) and 0 (B), P2 that of 66.7 (A) and 100 (B)
    assert rows[WITHOUT]["f1"]["mean"] == pytest.approx((25 + (200 / 3 + 100) / 2) / 2)
    assert rows[WITH]["f1"]["mean"] == pytest.approx(100.0)
    assert paired["pairs"] == 2 and paired["physicians"] == 1
    assert paired["f1"]["mean"] == pytest.approx((50 + 100 / 3) / 2)
    assert paired["f1"]["p"] == pytest.approx(float(stats.wilcoxon([50, 100 / 3]).pvalue))
    same = choices_of(tmp_path, "P1,A,0,Cisplatin", "P1,A,1,Cisplatin")
    assert physician_rows(read_choices(same, ["P1"]), GOLD, 0)[1]["f1"]["p"] == 1.0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("P9,A,0,Cisplatin", "not in the cohort"),
        ("P1,A,maybe,Cisplatin", "cannot be used"),
        ("P1,A,0,", "cannot be used"),
        (",A,0,Cisplatin", "cannot be used"),
        ("P1,A,0,Aspirin", "Aspirin"),
    ],
)
def test_choices_that_cannot_be_used_are_refused(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_choices(choices_of(tmp_path, line), ["P1"])
    with pytest.raises(InputError, match="twice"):
        read_choices(choices_of(tmp_path, "P1,A,0,Cisplatin", "P1,A,without,Cisplatin"), ["P1"])


def test_stored_rows_are_the_newest_stamped_ones(tmp_path: Path) -> None:
    def put(name: str, date: str | None, value: float, **stamp: Any) -> None:
        about = {"command": "mewm evaluate planning", "date": date} | stamp
        data = {"cohort": "c", "stamp": about, "rows": {"no_ccl": {"f1": {"mean": value, "n": 3}}}}
        (tmp_path / name).write_text(json.dumps(data), encoding="utf-8")

    put("old.json", "2026-01-01", 1.0)
    put("new.json", "2026-02-01", 2.0)
    put("unstamped.json", None, 3.0)
    put("nameless.json", "2026-03-01", 4.0, command="")
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    found = stored_rows(tmp_path, ["no_ccl", "difftumor"])
    assert list(found) == ["no_ccl"] and found["no_ccl"]["figures"]["f1"]["mean"] == 2.0
    assert found["no_ccl"]["file"] == "new.json" and stored_rows(tmp_path / "absent", ["no_ccl"]) == {}


def test_the_organ_filter_takes_out_what_lies_outside_of_the_other_liver(tmp_path: Path) -> None:
    grid = Geometry((6, 8, 8), np.diag([-2.0, -2.0, 2.0, 1.0]))
    array = np.zeros(grid.shape, np.uint8)
    array[1:5, 1:7, 1:7] = 1
    array[2:4, 2:4, 2:4] = 2
    array[2:4, 5:7, 5:7] = 2
    organ = np.zeros(grid.shape, np.uint8)
    organ[1:5, 1:5, 1:5] = 1
    organ[2, 2, 2] = 2  # tumour of the other segmenter lies in its liver
    write_labels(LabelMap(organ, grid), tmp_path / "organs.seg.nrrd")
    kept, ml = without_outside(LabelMap(array, grid), tmp_path / "organs.seg.nrrd")
    assert ml == pytest.approx(8 * 0.008) and kept.tumour.sum() == 8 and kept.tumour[2:4, 2:4, 2:4].all()
    assert (kept.array == 1).sum() == (array == 1).sum()
    write_labels(LabelMap(np.zeros(grid.shape, np.uint8), grid), tmp_path / "none.seg.nrrd")
    with pytest.raises(InputError, match="hold no liver"):
        without_outside(LabelMap(array, grid), tmp_path / "none.seg.nrrd")


class Network(torch.nn.Module):
    """Features by chance, as a list of two maps or one vector."""

    def __init__(self, vector: bool) -> None:
        super().__init__()
        self.vector = vector
        self.first = torch.nn.Conv2d(3, 4, 3, stride=2)
        self.second = torch.nn.Conv2d(4, 6, 3, stride=2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        one = torch.relu(self.first(x))
        two = torch.relu(self.second(one))
        return [two.mean((2, 3))] if self.vector else [one, two]


@pytest.mark.parametrize("vector", [True, False])
def test_a_published_network_from_a_file_gives_fid_and_lpips(vector: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(vector)
    path = tmp_path / "features.pt"
    torch.jit.save(torch.jit.script(network), str(path))
    about = {"name": "Chance", "size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    features = PublishedFeatures(path)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(60, 40, (12, 64, 64)).astype(np.float32) + shift for shift in (0, 80))
    assert features.name.startswith("Chance (published, SHA-256 ")
    assert lpips(a, a, features).max() < 1e-6 < lpips(a, b, features).min()
    same, far = (fid(pooled(a, features), pooled(x, features))[0] for x in (a, b))
    assert same < 1e-6 < far
    # by hand: window, three channels, size, mean and std
    image = torch.from_numpy(a[:1])[:, None]
    unit = ((image + 175) / 775).clamp(0, 1).expand(-1, 3, -1, -1)
    unit = torch.nn.functional.interpolate(unit, (32, 32), mode="bilinear", align_corners=False)
    expected = network((unit - 0.5) / 0.25)[-1].reshape(-1)
    assert torch.allclose(features.layers(image)[-1].reshape(-1), expected, atol=1e-6)


def test_networks_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "features.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        PublishedFeatures(path)
    torch.jit.save(torch.jit.script(Network(True)), str(path))
    path.with_suffix(".json").write_text('{"name": "x", "size": 2}', encoding="utf-8")
    with pytest.raises(InputError, match="fails on a crop"):
        PublishedFeatures(path)
    path.with_suffix(".json").write_text('{"name": "x", "std": [0, 1, 1]}', encoding="utf-8")
    with pytest.raises(InputError, match="three numbers"):
        PublishedFeatures(path)


def test_what_is_kept_counts_only_under_its_key_and_whole(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "one", key_of("a", {"b": 1}))
    assert kept.read() is None and kept.arrays() == {}
    kept.write({"value": 1}, {"x": np.arange(3)})
    assert kept.read() == {"value": 1} and kept.arrays()["x"].tolist() == [0, 1, 2]
    assert Kept(tmp_path / "one", key_of("a", {"b": 2})).read() is None
    (tmp_path / "one" / "result.json").write_text("{", encoding="utf-8")
    assert kept.read() is None
    assert kept.or_compute(lambda: {"again": True}) == {"again": True}
    assert kept.or_compute(lambda: pytest.fail("computed twice")) == {"again": True}


def test_the_response_is_told_by_the_simulated_change() -> None:
    rng = np.random.default_rng(0)
    patients: list[Any] = []
    for n in range(24):
        change = float(rng.uniform(-0.9, 0.3))
        one = Patient(f"P{n}", viable_before_mm=40.0, viable_after_mm=40.0 * (1 + change))
        one.measured["before"] = {"log_viable_ml": float(np.log1p(20.0)), "log_volume_ml": float(rng.normal())}
        one.measured["virtual"] = {"log_viable_ml": float(np.log1p(20.0 * (1 + change)))}
        patients.append(one)
        # the network sees as much
        one.numbers = {"log_risk_untreated": 0.5, "log_risk_virtual": 0.5 + change}
    found = response_table(patients, {}, 0)
    assert found["rows"]["mewm"]["auc"]["mean"] == found["rows"]["mewm_risk"]["auc"]["mean"] == 1.0
    assert "mewm_risk_scan_after" not in found["rows"] and any("mewm_risk_scan_after" in g for g in found["gaps"])
    assert found["rows"]["mewm"]["rank_correlation"]["mean"] == pytest.approx(1.0)
    assert found["responders"] == sum(p.viable_after_mm <= 0.7 * 40 for p in patients)
    # the readers' own measures come first
    flat = {p.id: {"mrecist_before_mm": [40.0, None], "mrecist_after_mm": [40.0, 1.0]} for p in patients}
    assert "needs 5 responders" in response_table(patients, flat, 0)["gaps"][0]


class OneCase:
    """A cohort of one kind of patient: the tumour shrinks to a half, and liver of its density takes its place."""

    def __init__(self, seen: list[Patient]) -> None:
        self.left = {p.id: float(p.viable_after_mm or 0) / 40.0 for p in seen}

    def case(self, patient: str) -> CohortCase:
        grid = Geometry((4, 10, 10), np.diag([-1.0, -1.0, 1.0, 1.0]))
        before, after = (np.ones(grid.shape, np.uint8) for _ in range(2))
        before.reshape(-1)[:200] = 2
        after.reshape(-1)[: round(200 * self.left[patient])] = 2
        ct = Volume(np.full(grid.shape, 100, np.int16), grid, "portal")
        return CohortCase(ct, LabelMap(before, grid), ct, LabelMap(after, grid))


def test_the_outline_after_sees_a_shrinkage_that_the_one_before_does_not() -> None:
    rng = np.random.default_rng(0)
    patients: list[Any] = []
    for n in range(24):
        one = Patient(f"P{n}", viable_before_mm=40.0, viable_after_mm=40.0 * float(rng.uniform(0.1, 1.0)))
        # all in the outline before has the density of what lives
        one.measured = dict.fromkeys(
            ("before", "virtual", "scan_after"), {"log_viable_ml": 3.0 + float(rng.normal()), "log_volume_ml": 3.0}
        )
        patients.append(one)
    rows = response_table(patients, {}, 0, OneCase(patients))["rows"]  # type: ignore[arg-type]
    assert rows["outline_after"]["auc"]["mean"] == 1.0 and rows["mewm_scan_after"]["auc"]["mean"] == 0.5


@pytest.mark.parametrize("drawn", [True, False])
def test_scans_before_and_after_of_a_drawn_patient_are_marked_alike(
    drawn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[list[Tile]] = []
    monkeypatch.setattr(images, "write_tiles", lambda _path, asked: lines.extend(asked))
    array = np.zeros((3, 40, 40), np.float32)
    tumour = np.zeros(array.shape, bool)
    tumour[1, 10:20, 10:20] = True
    images._draw(tmp_path / "x.png", array, tumour, {"mewm": array}, array, drawn, "P1")
    assert [(t.title, t.drawn, t.simulated) for t in lines[0]] == [
        ("P1, before", drawn, False), ("scan after", drawn, False), ("one sample", False, True),
    ]  # fmt: skip


def test_a_scan_after_that_was_kept_under_its_old_name_counts(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "P1", key_of("P1"))
    kept.write({"features": {"real": {"mean": 3.0}, "before": {"mean": 1.0}}})
    record = Record(Patient("P1"), kept)  # type: ignore[arg-type]
    assert record.features("scan_after") == {"mean": 3.0} and record.features("virtual") is None
