"""One checkpoint for every training: what is kept, what is refused, and the curve of a run that was interrupted."""

import csv
from pathlib import Path

import pytest
import torch

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.lab.training.checkpoint import AveragedModel, Run


def started(folder: Path, settings: dict[str, object] | None = None) -> Run:
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    return Run(folder, "part", model, AveragedModel(model, 0.9), torch.optim.AdamW(model.parameters()), settings)


def advance(run: Run, steps: int) -> None:
    for _ in range(steps):
        run.optimiser.zero_grad()
        run.model(torch.ones(1, 2)).sum().backward()
        run.take_step(1.0)
        run.log({"loss": float(run.step), "figure": None})


def test_a_run_that_was_saved_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = started(tmp_path / "whole")
    advance(whole, 5)
    first = started(tmp_path / "cut")
    advance(first, 2)
    first.extra["kept"] = [1.5, 2.5]
    first.save()
    advance(first, 1)  # lost: it was not saved
    second = started(tmp_path / "cut")
    assert second.step == 2 == second.average.updates and second.extra == {"kept": [1.5, 2.5]}
    advance(second, 3)
    assert torch.equal(whole.model.weight, second.model.weight)
    assert torch.equal(whole.average.model.weight, second.average.model.weight)
    rows = [list(csv.DictReader(r.curve.read_text().splitlines())) for r in (whole, second)]
    assert [r["step"] for r in rows[1]] == [r["step"] for r in rows[0]] == list("12345")
    assert rows[1][2]["loss"] == "3.0" and rows[1][2]["figure"] == ""
    assert second.elapsed >= second.seconds > 0 and second.processor_seconds >= second.processor > 0


def test_other_settings_and_damaged_files_are_refused(tmp_path: Path) -> None:
    run = started(tmp_path, {"steps": 2})
    run.save()
    assert started(tmp_path, {"steps": 2}).step == 0 and started(tmp_path).step == 0
    with pytest.raises(InputError, match="other settings"):
        started(tmp_path, {"steps": 3})
    run.path.write_bytes(run.path.read_bytes()[:100])
    with pytest.raises(UnreadableFileError, match=r"part\.pt"):
        started(tmp_path)
    torch.save({"step": 3}, run.path)
    with pytest.raises(UnreadableFileError, match="delete the file"):
        started(tmp_path)


def test_the_rate_warms_up_and_falls_to_a_fiftieth(tmp_path: Path) -> None:
    run = started(tmp_path)

    def rate(step: int, progress: float | None) -> float:
        run.step = step
        run.set_rate(2.0, 10, progress)
        return run.optimiser.param_groups[0]["lr"]

    assert rate(0, 0.0) == pytest.approx(0.2) and rate(9, 0.0) == pytest.approx(2.0)
    assert rate(50, 0.5) == pytest.approx(2 * (0.02 + 0.49)) and rate(99, 1.0) == pytest.approx(0.04)
    assert rate(0, None) == 2.0


def test_a_run_ends_after_its_steps_or_minutes(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.step, run.seconds = 5, 60.0
    assert run.progress(10, 0.0) == 0.5 and run.progress(10, 4.0) == 0.5
    assert run.progress(10, 1.0) >= 1.0
    assert run.progress(0, 0.0) == 1.0  # nothing to do
