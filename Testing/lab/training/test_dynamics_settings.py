"""Settings of the denoiser's training, from a file and from the command line."""

import json
from pathlib import Path

import pytest

from MeWMLib.core import bundles
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.lab.training import __main__ as program
from MeWMLib.lab.training.dynamics_settings import DynamicsTraining, read_settings

SMALL = {"widths": [8, 8], "condition": 16, "batch": 4, "pairs": 2, "steps": 2}


def written(folder: Path, content: object) -> Path:
    path = folder / "settings.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_names_what_differs_from_the_defaults(tmp_path: Path) -> None:
    found = read_settings(written(tmp_path, {"widths": [16, 32], "learning_rate": 1, "text": False, "start": "a/b"}))
    assert found == DynamicsTraining(widths=(16, 32), learning_rate=1.0, text=False, start="a/b")
    assert isinstance(found.learning_rate, float)
    assert read_settings(written(tmp_path, {})) == DynamicsTraining()


def test_the_default_sizes_are_those_of_the_network() -> None:
    settings, config = DynamicsTraining(), DenoiserConfig()
    assert (settings.widths, settings.condition) == (config.widths, config.condition)


def test_the_larger_network_that_ships_has_twenty_million_weights(repository: Path) -> None:
    settings = read_settings(repository / "Resources" / "Configs" / "mewm-base.json")
    model = Denoiser(DenoiserConfig(widths=settings.widths, condition=settings.condition, text=384))
    assert sum(p.numel() for p in model.parameters()) >= 20_000_000


def test_unknown_keys_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"depth, learnign_rate.*Known fields.*learning_rate") as caught:
        read_settings(written(tmp_path, {"learnign_rate": 1e-3, "depth": 3, "steps": 1}))
    assert "Unknown field" in caught.value.what


@pytest.mark.parametrize("content", ["{", "", '{"steps": 1,}'])
def test_a_file_that_is_no_json_is_unreadable(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"settings\.json"):
        read_settings(written(tmp_path, content))


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"none\.json"):
        read_settings(tmp_path / "none.json")


@pytest.mark.parametrize("content", [[1, 2], "3", "null"])
def test_something_else_than_an_object_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(InputError, match="must be one JSON object"):
        read_settings(written(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", "many"),
        ("steps", 2.5),
        ("steps", True),
        ("steps", 0),
        ("batch", -1),
        ("accumulate", 0),
        ("pairs", 0),
        ("minutes", -1),
        ("learning_rate", 0),
        ("learning_rate", "fast"),
        ("action_dropout", 1.5),
        ("average", None),
        ("action_blind", 1),
        ("widths", 32),
        ("widths", []),
        ("widths", [32, 60]),
        ("widths", [32, "64"]),
        ("widths", [8, 8, 8, 8, 8]),
        ("precision", "float16"),
        ("precision", 16),
        ("start", 3),
        ("reports", True),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_name(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"setting {name} cannot be used|{name} of [Tt]he training configuration"):
        read_settings(written(tmp_path, {name: value}))


def run(planted: Path, *options: object) -> int:
    folders = ("--bundle", planted / "bundle", "--cohort", planted, "--work", planted / "work")
    return program.main(["--threads", "1", "dynamics", "--model", "latent", *map(str, (*folders, *options))])


def test_the_program_trains_what_the_file_says(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(planted, "--config", written(planted, SMALL), "--no-attenuation") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    config, _ = bundles.find_bundle((planted / "bundle").resolve(), require=("dynamics",)).part("dynamics")
    assert config["widths"] == [8, 8] and config["condition"] == 16 and config["attenuation"] is False


def test_options_count_more_than_the_file(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(planted, "--config", written(planted, {**SMALL, "seed": 3}), "--steps", 1) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 1


def test_the_program_says_what_is_wrong_with_the_file(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(planted, "--config", written(planted, {"depth": 3})) == 2
    said = capsys.readouterr()
    assert "depth" in said.err and "Traceback" not in said.err and said.out == ""


def test_bfloat16_without_hardware_is_refused(planted: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", dict, raising=False)
    assert run(planted, "--config", written(planted, {**SMALL, "precision": "bfloat16"})) == 2
    said = capsys.readouterr().err
    assert "bfloat16 needs hardware" in said and '"precision": "auto" or "float32"' in said
    assert not (planted / "work" / "dynamics.pt").exists()
