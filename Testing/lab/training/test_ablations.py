"""`mewm train ablations`: every row with one budget, what differs, how it goes on, what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.core.bundles import Bundle, find_bundle, write_part
from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.dynamics.autoencoder import fit
from MeWMLib.lab.evaluation.baselines import ABLATED, FULL, RETRAINED
from MeWMLib.lab.training import __main__ as program
from MeWMLib.lab.training import ablations, dynamics
from MeWMLib.lab.training.ablations import CHANGES, changes_of, patients_of, require_full
from MeWMLib.lab.training.dynamics_settings import DynamicsTraining

#: A network that trains in milliseconds.
TINY = {"widths": [8, 8], "condition": 16, "batch": 4, "pairs": 2, "steps": 2, "head_steps": 3}
ROWS = (FULL, *RETRAINED)


def encode(texts: list[str]) -> np.ndarray:
    return np.array([[len(text), text.count("e"), 1.0, 0.5] for text in texts], np.float32)


@pytest.fixture(autouse=True)
def _sentence_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that counts letters."""
    for module in (ablations, dynamics):
        monkeypatch.setattr(module, "sentence_encoder", lambda: encode)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A bundle with a codec of the cohort's channels, a part of a few numbers, and one in 8 bits."""
    torch.manual_seed(0)
    codec = fit(torch.randn(400, 64), 4)
    folder = tmp_path / "source"
    write_part(folder, "autoencoder", codec.part_config(), codec.tensors())
    write_part(folder, "survival", {"kept": 1}, {"w": np.ones(3, np.float32)})
    weights = {"w": np.random.default_rng(0).normal(size=(8, 600)).astype(np.float32)}
    write_part(folder, "assistant", {"kept": 2}, weights, eight_bits=True)
    return folder


def run(planted: Path, source: Path, *options: object, config: dict | None = None) -> int:
    path = planted / "config.json"
    path.write_text(json.dumps(TINY if config is None else config), encoding="utf-8")
    folders = ("--bundle", source, "--cohort", planted, "--work", planted / "work", "--out", planted / "out")
    return program.main(["--threads", "1", "ablations", *map(str, (*folders, "--config", path, *options))])


def told(planted: Path) -> dict:
    return json.loads((planted / "out" / "budget.json").read_text(encoding="utf-8"))


def bundle_of(planted: Path, row: str) -> Bundle:
    return find_bundle((planted / "out" / row).resolve(), require=("dynamics",))


def test_all_rows_get_one_budget_and_differ_in_what_the_table_says(
    planted: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(planted, source) == 0
    said = capsys.readouterr().out
    assert "The budget of every row: 2 steps of 4 outcomes of 2 patients, 3 steps of the response head" in said
    found = told(planted)
    assert list(found["bundles"]) == list(ROWS) == list(CHANGES)
    for row in ROWS:
        assert f"| {row} |" in said
        figures = found["rows"][f"training.{row}"]
        assert figures["steps"]["mean"] == 2 and figures["seconds"]["mean"] > 0
        assert figures["processor_seconds"]["mean"] > 0 and np.isfinite(figures["held_out_loss"]["mean"])
        made = bundle_of(planted, row)
        assert made.sha256 == found["bundles"][row] and f"Row {row}" in made.manifest.description
        assert made.manifest.training is not None and made.manifest.training.synthetic_patients == 12
        # everything but the dynamics is that of the bundle, bit for bit
        rest = find_bundle(source.resolve(), require=()).part_sha256
        assert {k: v for k, v in made.part_sha256.items() if k != "dynamics"} == rest
    config = {row: bundle_of(planted, row).part("dynamics")[0] for row in ROWS}
    whole = config[FULL]
    assert whole["text"] and whole["attenuation"] and whole["response"] and not whole["reports"]
    assert config["no_ccl"] == {**whole, "response_spread": config["no_ccl"]["response_spread"]}
    assert config["no_attenuation"]["attenuation"] is False and config["no_text"]["text"] == 0
    assert not config["difftumor"]["response"] and config["textomorph"]["reports"] == 4
    assert found["changes"]["no_ccl"] == {"contrastive_weight": 0.0} and found["changes"][FULL] == {}
    blind = found["rows"]["training.action_blind"]
    assert blind["held_out_loss"] == blind["held_out_loss_shuffled"]
    assert found["budget"]["patients"] | {"sha256": ""} == {
        "train": 12, "validation": 6, "scans": 0, "scans_validation": 0, "sha256": "",
    }  # fmt: skip
    assert found["stamp"]["command"].startswith("mewm train ablations --bundle source --cohort cohort")
    assert "/" not in found["stamp"]["command"]


def test_rows_see_the_same_batches(planted: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[bytes]] = []
    usual = dynamics.flow_loss

    def noted(model, batch, scale, generator, settings, channels=None):
        if model.training:
            seen[-1].append(batch["change"].numpy().tobytes())
        return usual(model, batch, scale, generator, settings, channels)

    whole = dynamics.train
    monkeypatch.setattr(dynamics, "flow_loss", noted)
    monkeypatch.setattr(dynamics, "train", lambda *args: (seen.append([]), whole(*args))[1])
    assert run(planted, source) == 0
    assert len(seen) == len(ROWS) and all(len(batches) == 2 for batches in seen)
    assert all(batches == seen[0] for batches in seen)


def test_a_run_that_was_stopped_trains_what_is_left_alone(
    planted: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[str] = []
    whole = dynamics.train

    def stopped(cohort, work, settings, *rest):
        trained.append(work.name)
        if len(trained) == 2:
            whole(cohort, work, replace(settings, steps=1), *rest)
            raise KeyboardInterrupt
        return whole(cohort, work, settings, *rest)

    monkeypatch.setattr(dynamics, "train", stopped)
    few = ("--rows", FULL, "no_ccl", "no_text")
    assert run(planted, source, *few) == 130
    assert list(told(planted)["bundles"]) == [FULL] and not (planted / "out" / "no_ccl").exists()
    first = bundle_of(planted, FULL).sha256
    assert run(planted, source, *few) == 0
    assert trained == [FULL, "no_ccl", "no_ccl", "no_text"]
    assert bundle_of(planted, FULL).sha256 == first and list(told(planted)["bundles"]) == list(few[1:])
    assert torch.load(planted / "work" / "no_ccl" / "dynamics.pt", weights_only=True)["step"] == 2
    # nothing is left, and further rows join them
    assert run(planted, source, *few) == 0 and len(trained) == 4
    assert run(planted, source, "--rows", "difftumor") == 0
    assert trained[4:] == ["difftumor"] and list(told(planted)["bundles"]) == [*few[1:], "difftumor"]
    assert capsys.readouterr().out.count("| no_ccl |") == 3
    # a damaged bundle is no finished row: it is made again from its checkpoint
    (planted / "out" / FULL / "dynamics.safetensors").write_bytes(b"damaged")
    assert run(planted, source, "--rows", FULL) == 0
    assert trained[5:] == [FULL] and bundle_of(planted, FULL).sha256 == first


def test_minutes_become_steps_that_are_kept(planted: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    whole = dynamics.train

    def timed(cohort, work, settings, *rest):
        asked.append(settings.steps)
        model, figures = whole(cohort, work, replace(settings, steps=1), *rest)
        return model, {**figures, "steps": float(settings.steps), "seconds": 0.5 * settings.steps}

    monkeypatch.setattr(dynamics, "train", timed)
    assert run(planted, source, "--rows", FULL, "no_ccl", "--minutes", 1) == 0
    # half a second a step, two rows in a minute
    assert asked == [ablations.PROBE, 60, 60] and not (planted / "work" / "probe").exists()
    assert told(planted)["budget"]["settings"]["steps"] == 60 and told(planted)["budget"]["minutes"] == 1.0
    assert run(planted, source, "--rows", FULL, "no_text", "--minutes", 1) == 0
    assert asked[3:] == [60], "the steps that were chosen first are those of further rows"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", 2, "--minutes", 1), "told twice"),
        (("--minutes", 0), "no time to train in"),
        (("--steps", 0), "steps cannot be used"),
        (("--config", "nowhere.json"), "nowhere.json"),
    ],
)
def test_options_that_cannot_be_are_refused(
    planted: Path, source: Path, capsys: pytest.CaptureFixture[str], options: tuple, said: str
) -> None:
    assert run(planted, source, *options) != 0
    assert said in capsys.readouterr().err and not (planted / "out").exists()


def test_rows_that_there_are_not_are_refused_by_name(
    planted: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(planted, source, "--rows", "no_dice")
    assert caught.value.code == 2 and "no_dice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("action_blind", True), ("text", False), ("attenuation", False), ("contrastive_weight", 0.0), ("fate", False),
        ("minutes", 3.0), ("start", "mewm-small"),
    ],
)  # fmt: skip
def test_a_full_row_that_leaves_a_part_out_is_refused(name: str, value: object) -> None:
    require_full(DynamicsTraining())
    with pytest.raises(InputError, match=f"{name} = "):
        require_full(replace(DynamicsTraining(), **{name: value}))


def test_another_budget_or_other_patients_are_refused(
    planted: Path, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(planted, source, "--rows", FULL) == 0
    capsys.readouterr()
    assert run(planted, source, "--rows", "no_ccl", "--steps", 3) == 2
    assert "steps 2 there, 3 here" in capsys.readouterr().err
    assert run(planted, source, "--rows", "no_ccl", "--seed", 1) == 2
    assert "seed 0 there, 1 here" in capsys.readouterr().err
    # the checkpoint of a row does not go on as another one's
    shutil.copytree(planted / "work" / FULL, planted / "work" / "no_ccl")
    assert run(planted, source, "--rows", "no_ccl") == 2
    assert f"row {FULL} there, no_ccl here" in capsys.readouterr().err
    shutil.rmtree(planted / "work" / "no_ccl")
    # a patient more, before a row or while it is trained
    one = next((planted / "train").glob("*.npz"))
    whole = dynamics.train

    def grown(*args):
        found = whole(*args)
        shutil.copy(one, planted / "train" / "99.npz")
        return found

    monkeypatch.setattr(dynamics, "train", grown)
    assert run(planted, source, "--rows", "no_ccl") == 2
    assert "other patients" in capsys.readouterr().err and list(told(planted)["bundles"]) == [FULL]
    monkeypatch.setattr(dynamics, "train", whole)
    assert run(planted, source, "--rows", "no_ccl") == 2
    assert "'train': 12" in capsys.readouterr().err


def test_a_missing_sentence_encoder_is_said_before_the_first_row(
    planted: Path, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise DependencyError(what="The baseline textomorph needs a sentence encoder", given="none")

    monkeypatch.setattr(ablations, "sentence_encoder", missing)
    assert run(planted, source) == DependencyError("").exit_code
    assert "textomorph" in capsys.readouterr().err and not (planted / "work").exists()
    assert run(planted, source, "--rows", FULL, *ABLATED, "difftumor") == 0
    assert len(told(planted)["bundles"]) == 6


def test_the_files_of_the_two_baselines_are_the_settings_of_their_rows(planted: Path) -> None:
    assert changes_of("difftumor")["action_blind"] is True and changes_of("difftumor")["response"] is False
    assert changes_of("textomorph")["reports"] is True
    base = replace(DynamicsTraining(), steps=7, seed=3, batch=4)
    for row in CHANGES:
        own = replace(base, **changes_of(row))
        assert (own.steps, own.seed, own.batch, own.pairs, own.widths) == (7, 3, 4, base.pairs, base.widths)
    before = patients_of(planted)
    (planted / "scans").mkdir()
    assert patients_of(planted) == before
    shutil.copy(next((planted / "train").glob("*.npz")), planted / "scans" / "0.npz")
    assert patients_of(planted)["scans"] == 1 and patients_of(planted)["sha256"] != before["sha256"]
