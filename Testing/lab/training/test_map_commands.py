"""`mewm train maps-cohort`, and `mewm train dynamics` on coarse maps: what they write, how they go on, refusals."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.core.bundles import find_bundle, write_part
from MeWMLib.core.errors import BundleError, InputError
from MeWMLib.dynamics.map_model import MapModel, network_from_part, network_part
from MeWMLib.dynamics.map_network import MapConfig, MapNetwork
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.training import __main__ as program
from MeWMLib.lab.training import map_bundle, map_head, pair_cohort
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_batches import Arrays, MapCohort
from MeWMLib.lab.training.map_settings import FineTuning, MapTraining, read_map_settings
from MeWMLib.lab.training.maps import train_maps

CONFIG = {"widths": [8], "condition": 16, "rows": 2, "sessions": 1, "head_steps": 3, "steps": 2}
TUNING = {"rows": 2, "drawn_rows": 2, "every": 1, "steps": 2}


def run(*words: object) -> int:
    return program.main(["--threads", "1", *map(str, words)])


def told(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def settings(folder: Path, content: object) -> Path:
    path = folder / "settings.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def stored(bundle: Path) -> MapNetwork:
    return network_from_part(*find_bundle(bundle.resolve(), require=("dynamics",)).part("dynamics"))


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A bundle with a map network and one other part."""
    torch.manual_seed(0)
    network = MapNetwork(MapConfig((8,), 16, response_spread=(1.0, 0.0, 1.0, 0.0, 0.0, 1.0)))
    torch.nn.init.normal_(network.out[-1].weight, std=0.05)  # begins at zero
    write_part(tmp_path / "start", "dynamics", *network_part(network))
    write_part(tmp_path / "start", "survival", {"kept": 1}, {"w": np.ones(3, np.float32)})
    return tmp_path / "start"


@pytest.fixture
def hospital(tmp_path: Path, like_real: list[Arrays], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three pairs of two persons; reading and registering them is that of test_pair_cohort.py."""
    folder = tmp_path / "hospital"
    folder.mkdir()
    for name in ("a.nii", "l.nii", "b.nii"):
        (folder / name).write_bytes(name.encode())
    lines = [f"{name},a.nii,l.nii,b.nii,Doxorubicin + Lipiodol" for name in ("P1", "P2/1", "P2/2")]
    (folder / "pairs.csv").write_text("\n".join(["patient,before,labels,after,protocol", *lines]), encoding="utf-8")
    arrays = {"P1": like_real[0], "P2/1": like_real[1], "P2/2": like_real[1]}
    monkeypatch.setattr(pair_cohort.PreparedPair, "read", lambda pair, how: pair.patient)
    monkeypatch.setattr(pair_cohort, "encode_pair", lambda patient, agents: arrays[patient])
    return folder


def tune(hospital: Path, cohort: Path, start: Path, *more: object) -> int:
    out = hospital.parent
    folders = ("--bundle", out / "tuned", "--cohort", cohort, "--work", out / "work", "--pairs", hospital)
    return run("dynamics", *folders, "--start", start, "--config", settings(out, TUNING), *more)


# Patients.


def test_patients_are_drawn_into_the_folder_of_their_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("maps-cohort", "--cohort", tmp_path, "--patients", 1, "--start", 1) == 0
    assert told(capsys) == {"patients": 1.0}
    for split in ("train", "validation"):
        assert run("maps-cohort", "--cohort", tmp_path, "--split", split, "--patients", 1, "--scans-only") == 0
    found = {p.parent.name + "/" + p.name for p in tmp_path.rglob("*.npz")}
    validation = f"scans_validation/{SPLITS['validation'][0]:06d}.npz"
    assert found == {"train/000001.npz", "scans/000000.npz", validation}
    kept = (tmp_path / "train" / "000001.npz").stat().st_mtime_ns
    assert run("maps-cohort", "--cohort", tmp_path, "--patients", 1, "--start", 1) == 0
    assert (tmp_path / "train" / "000001.npz").stat().st_mtime_ns == kept


@pytest.mark.parametrize("numbers", [(0, 0), (5, -1), (1, 100_000), (100_001, 0)])
def test_patients_that_a_split_does_not_have_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], numbers: tuple[int, int]
) -> None:
    assert run("maps-cohort", "--cohort", tmp_path / "c", "--patients", numbers[0], f"--start={numbers[1]}") == 2
    assert "does not hold these patients" in capsys.readouterr().err and not (tmp_path / "c").exists()


# Training on drawn patients.


def test_a_network_with_its_head_becomes_the_dynamics_part(
    maps_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, work = tmp_path / "bundle", tmp_path / "work"
    words = ("dynamics", "--bundle", bundle, "--cohort", maps_cohort, "--work", work, "--seed", 3)
    assert run(*words, "--config", settings(tmp_path, CONFIG)) == 0
    figures = told(capsys)
    assert figures["steps"] == 2 and "head_viable_rank" in figures
    network = stored(bundle)
    assert network.config.widths == (8,) and network.config.condition == 16
    assert len(network.config.response_spread) == 6
    head = torch.load(work / map_head.HEAD, weights_only=True)
    assert list(network.config.response_spread) == head["spread"]
    for name, value in network.head.state_dict().items():
        assert torch.equal(value, head["head"][name].half().float())  # a bundle keeps float16
    MapModel.from_part(*find_bundle(bundle, require=()).part("dynamics"), torch.device("cpu"))
    # the head is kept, the network goes on; what the command line says counts more than the file
    monkeypatch.setattr(map_head, "train_head", lambda *a: pytest.fail("trained twice"))
    assert run(*words, "--config", tmp_path / "settings.json", "--steps", 3) == 0
    assert told(capsys)["steps"] == 3
    assert torch.load(work / "maps.pt", weights_only=True)["optimiser"]["state"][0]["step"] == 3
    # a run of so many minutes ends by them
    assert run(*words, "--config", tmp_path / "settings.json", "--steps", 10**6, "--minutes", 1e-6) == 0
    assert told(capsys)["steps"] == 3


def test_a_start_gives_sizes_head_and_the_other_parts(
    maps_cohort: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = settings(tmp_path, {**CONFIG, "widths": [8, 8], "steps": 1})
    folders = ("--bundle", tmp_path / "b", "--cohort", maps_cohort, "--work", tmp_path / "w")
    assert run("dynamics", *folders, "--start", start, "--config", small) == 0
    former, found = stored(start), stored(tmp_path / "b")
    assert found.config == former.config and not (tmp_path / "w" / map_head.HEAD).exists()
    assert torch.equal(found.head.out.weight, former.head.out.weight)
    assert not torch.equal(found.stem.weight, former.stem.weight)
    assert find_bundle(tmp_path / "b", require=()).part("survival")[0] == {"kept": 1}


def test_a_process_that_is_not_the_first_draws_its_own_and_writes_nothing(maps_cohort: Path, tmp_path: Path) -> None:
    tiny = MapTraining(widths=(8,), condition=16, rows=2, sessions=1, steps=1)
    first, _ = train_maps(maps_cohort, tmp_path / "0", tiny)
    other, _ = train_maps(maps_cohort, tmp_path / "1", tiny, ranks=Ranks(rank=1))
    assert not torch.equal(first.out[-1].weight, other.out[-1].weight)
    assert (tmp_path / "0" / "maps.pt").is_file() and not list((tmp_path / "1").iterdir())
    assert map_bundle.train_into(tmp_path / "b", maps_cohort, tmp_path / "1", tiny, ranks=Ranks(rank=1)) == {}
    assert not (tmp_path / "b").exists()


def test_a_batch_moves_as_a_whole(maps_cohort: Path) -> None:
    batch = MapCohort(maps_cohort / "train").batch(2, np.random.default_rng(0), 1, 24)
    moved = batch.to(torch.device("meta"))
    assert {v.device.type for v in (moved.clean, moved.weight, *vars(moved.given).values())} == {"meta"}
    assert batch.clean.device.type == "cpu" and moved.clean.shape == batch.clean.shape


# Fine-tuning on real pairs.


def test_real_pairs_go_on_from_a_bundle_and_say_who_was_held_out(
    hospital: Path, maps_cohort: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(hospital, maps_cohort, start, "--hold-out", "P2/1") == 0
    figures = told(capsys)
    assert figures["trained"] == ["P1"] and figures["held_out"] == ["P2/1", "P2/2"]  # sessions of one person
    assert list(figures["error"]) == ["0", "1", "2"] and set(figures["pairs"]) == {"P2/1", "P2/2"}
    assert figures["error"][str(figures["best_step"])] == min(figures["error"].values())
    out = hospital.parent
    record = json.loads((out / "work" / "real_pairs.json").read_text(encoding="utf-8"))
    assert figures.items() <= record.items() and record["settings"]["every"] == 1
    assert record["start_sha256"] == find_bundle(start, require=()).sha256
    rows = (out / "work" / "real_pairs.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "step,seconds,loss,held_out_error" and len(rows) == 4
    found = stored(out / "tuned")
    assert found.config == stored(start).config
    assert find_bundle(out / "tuned", require=()).part("survival")[0] == {"kept": 1}
    # the same command has nothing left to do; another split is another run
    assert tune(hospital, maps_cohort, start, "--hold-out", "P2") == 0
    assert told(capsys)["error"] == figures["error"]
    assert tune(hospital, maps_cohort, start, "--hold-out", "P1") == 2
    assert "other settings" in capsys.readouterr().err


def test_without_held_out_pairs_all_steps_are_taken_and_it_is_said(
    hospital: Path, maps_cohort: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(hospital, maps_cohort, start, "--hold-out-share", 0, "--steps", 1) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert figures["best_step"] == figures["steps"] == 1 and figures["held_out"] == [] and figures["error"] == {}
    assert "No pair is held out: all 1 steps" in said.err


def test_pairs_are_held_out_by_person_or_by_share() -> None:
    names = [f"P{n}/{m}" for n in range(100) for m in (1, 2)]
    train, kept = map_bundle.held_out_pairs(names, 0.2)
    assert (train, kept) == pair_cohort.split(names, 0.2)
    assert map_bundle.held_out_pairs(["A", "B/1", "B/2"], ["B"]) == (["A"], ["B/1", "B/2"])
    assert map_bundle.held_out_pairs(["A", "B"], []) == (["A", "B"], [])


@pytest.mark.parametrize("words", [("--threads", "3", "dynamics"), ("dynamics", "--threads", "3")])
def test_threads_are_taken_before_and_behind_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(map_bundle, "train_into", lambda *a: seen.append(torch.get_num_threads()) or {})
    before = torch.get_num_threads()
    assert program.main([*words, *(f"--{n}={tmp_path / n}" for n in ("bundle", "cohort", "work"))]) == 0
    assert seen == [3] and torch.get_num_threads() == before


# Refusals.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--action-blind"], "--action-blind.*--model latent"),
        (["--no-text", "--no-ccl"], "--no-text --no-ccl"),
        (["--no-attenuation", "--pairs", "."], "--no-attenuation"),
        (["--hold-out", "A"], "--hold-out.*folder of real pairs with --pairs"),
        (["--hold-out-share", "0.2"], "--hold-out-share"),
        (["--data", "."], "--data"),
        (["--model", "latent", "--pairs", "."], "--pairs.*Leave out --model latent"),
        (["--pairs", "."], "without --start"),
        (["--pairs", ".", "--start", "x", "--hold-out", "A", "--hold-out-share", "0.1"], "told twice"),
        (["--config", "LATENT"], "head_steps.*--model latent"),
        (["--steps", "0"], "setting steps cannot be used"),
        (["--batch", "0"], "setting rows cannot be used"),
        (["--start", "no-such-bundle"], "no-such-bundle"),
    ],
)
def test_options_that_do_not_belong_are_refused(
    maps_cohort: Path,
    tmp_path: Path,
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    latent = str(repository / "Resources" / "Configs" / "mewm-small.json")
    words = [latent if word == "LATENT" else word for word in options]
    folders = ("--bundle", tmp_path / "b", "--cohort", maps_cohort, "--work", tmp_path / "w")
    assert run("dynamics", *folders, *words) in (2, BundleError.exit_code)
    error = capsys.readouterr().err
    assert re.search(f"(?s){said}", error) and "Traceback" not in error
    assert not (tmp_path / "w").exists() and not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hold-out", "P3,P1"], "not in the list. Given: P3. Use names of the list: P1, P2/1"),
        (["--hold-out", "P1,P2"], "left to train on"),
        (["--hold-out-share", "1"], "share of patients cannot be held out"),
        (["--hold-out-share=-0.1"], "share of patients cannot be held out"),
        (["--hold-out-share", "nan"], "share of patients cannot be held out"),
    ],
)
def test_who_cannot_be_held_out_is_refused(
    hospital: Path,
    maps_cohort: Path,
    start: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    assert tune(hospital, maps_cohort, start, *options) == 2
    assert said in capsys.readouterr().err and not (hospital.parent / "work").exists()


def test_judged_patients_are_refused_first(
    hospital: Path, maps_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (hospital / "pairs.csv").open("a", encoding="utf-8") as file:
        file.write("\nHCC_009,a.nii,l.nii,b.nii,Lipiodol")
    assert tune(hospital, maps_cohort, tmp_path / "no-bundle") == 2
    assert "judging only is never trained on. Given: HCC_009" in capsys.readouterr().err


def test_a_latent_bundle_is_no_start(
    hospital: Path, maps_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_part(tmp_path / "latent", "dynamics", {"latent": 4}, {"w": np.ones(3, np.float32)})
    assert tune(hospital, maps_cohort, tmp_path / "latent") == BundleError.exit_code
    assert "a latent one, not one on coarse maps" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_a_start_is_not_replaced_and_drawn_patients_are_there_before_pairs_are_read(
    hospital: Path,
    maps_cohort: Path,
    start: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pair_cohort, "encode_pair", lambda *a: pytest.fail("a pair was read"))
    before = find_bundle(start, require=()).sha256
    assert tune(hospital, maps_cohort, start, "--bundle", start) == 2
    assert "would replace the one that it starts from" in capsys.readouterr().err
    assert find_bundle(start, require=()).sha256 == before
    assert tune(hospital, tmp_path / "nobody", start) == 2
    assert "no patients to train on" in capsys.readouterr().err


def test_a_network_of_other_agents_is_no_start(
    hospital: Path, maps_cohort: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = MapNetwork(MapConfig((8,), 16, agents=("Lipiodol", "Doxorubicin")))
    write_part(start, "dynamics", *network_part(few))
    assert tune(hospital, maps_cohort, start) == BundleError.exit_code
    assert "other agents" in capsys.readouterr().err
    folders = ("--bundle", tmp_path / "b", "--cohort", maps_cohort, "--work", tmp_path / "w")
    assert run("dynamics", *folders, "--start", start, "--config", settings(tmp_path, CONFIG)) == BundleError.exit_code
    assert "other agents" in capsys.readouterr().err


def test_a_cohort_of_another_kind_or_a_damaged_one_is_refused(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--bundle", tmp_path / "b", "--work", tmp_path / "w", "--config", settings(tmp_path, CONFIG))
    assert run("dynamics", "--cohort", planted, *words) == 2
    error = capsys.readouterr().err
    assert "holds no coarse maps" in error and "--model latent" in error
    (tmp_path / "d" / "train").mkdir(parents=True)
    (tmp_path / "d" / "train" / "1.npz").write_bytes(b"PK no archive")
    assert run("dynamics", "--cohort", tmp_path / "d", *words) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert run("dynamics", "--cohort", tmp_path / "none", *words) == 2
    assert "mewm train maps-cohort" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (MapTraining, "widths", [12]), (MapTraining, "widths", []), (MapTraining, "widths", [8, 8, 8, 8]),
        (MapTraining, "head_steps", 0), (MapTraining, "condition", 0), (MapTraining, "mean_share", 1.1),
        (MapTraining, "precision", "float16"), (MapTraining, "learning_rate", 0), (MapTraining, "minutes", -1),
        (FineTuning, "every", 0), (FineTuning, "drawn_rows", 0), (FineTuning, "precision", "half"),
        (FineTuning, "widths", [8]), (FineTuning, "steps", "many"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(tmp_path: Path, kind: type, name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        read_map_settings(settings(tmp_path, {name: value}), kind, {})


def test_the_command_line_counts_more_than_the_file(tmp_path: Path) -> None:
    path = settings(tmp_path, {"steps": 5, "seed": 2, "widths": [8, 16]})
    found = read_map_settings(path, MapTraining, {"steps": 7, "seed": None})
    assert found == MapTraining(steps=7, seed=2, widths=(8, 16))
    assert read_map_settings(None, FineTuning, {}) == FineTuning()
