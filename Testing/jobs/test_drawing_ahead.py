"""Replicas of the next protocol are drawn while one is written: in which order, after a cancel, and after an error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from MeWMLib.core.errors import OutOfMemoryError
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.jobs import plan_job, worker
from MeWMLib.jobs.job import Job
from MeWMLib.planning.search import SearchCancelled
from MeWMLib.world.abreast import Abreast

pytestmark = pytest.mark.usefixtures("small_bundle")


class Plans:
    """Plans with three volumes over the small world, whose simulator draws ahead.

    Attributes:
        told: "draw PROTOCOL" and "write RANK", in the order of their beginning.
        draw: what drawing does besides.
        stop: set to cancel the job.
    """

    def __init__(self, fake: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out, self.told, self.stop = out, [], threading.Event()
        self.draw: Callable[[], None] = lambda: None
        self.engine = fake.engine("")
        simulator = SimpleNamespace(whole=False, abreast=Abreast(2), prepare=lambda patient: None, draw=self._draw)
        monkeypatch.setattr(fake.FakeWorld, "simulator", simulator)
        monkeypatch.setattr(fake.FakeWorld, "in_session", lambda world, patient, *_: patient, raising=False)
        real = plan_job._Work.written

        def written(work: Any, candidate: Any, outcomes: Any) -> Any:
            self.told.append(f"write {candidate.rank}")
            self.writing(candidate.rank)
            return real(work, candidate, outcomes)

        monkeypatch.setattr(plan_job._Work, "written", written)
        self.writing: Callable[[int], None] = lambda rank: None

    def _draw(self, ready: None, trials: Any, settings: Any, cancelled: Callable[[], bool], compared: bool) -> None:
        self.told.append(f"draw {trials[0][0].text}")
        assert len(trials) == settings.replicas and threading.current_thread() is not threading.main_thread()
        self.draw()

    def run(self) -> Any:
        job = Job("plan", {"case": "sample:tiny"}, str(self.out), seed=3, settings={"keep": 3})
        worker.run(job, lambda event: None, self.stop.is_set, self.engine)
        return PlanFolder(self.out).read().plan


@pytest.fixture
def plans(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(fake, tmp_path / "plan", monkeypatch)


def test_the_next_protocol_is_drawn_while_one_is_written(plans: Plans) -> None:
    begun = threading.Event()
    plans.draw = begun.set
    # the first is not written before the second is being drawn
    plans.writing = lambda rank: None if rank == 3 else (begun.wait(30), begun.clear())[1]
    plan = plans.run()
    texts = [candidate.protocol.text for candidate in plan.candidates]
    assert sorted(plans.told) == sorted(["write 1", f"draw {texts[1]}", "write 2", f"draw {texts[2]}", "write 3"])
    assert [told for told in plans.told if told.startswith("draw")] == [f"draw {texts[1]}", f"draw {texts[2]}"]
    assert all(candidate.files for candidate in plan.candidates[:3])


def test_a_cancel_while_the_next_is_drawn_keeps_what_is_there(plans: Plans) -> None:
    def cancelled() -> None:
        plans.stop.set()
        raise SearchCancelled

    plans.draw = cancelled
    plan = plans.run()
    assert plan.stopped_by == "cancelled" and plan.candidates[0].files
    # no other is drawn ahead
    assert sum(told.startswith("draw") for told in plans.told) == 1


def test_an_error_of_drawing_ahead_is_told(plans: Plans) -> None:
    def fails() -> None:
        raise MemoryError

    plans.draw = fails
    with pytest.raises(OutOfMemoryError):
        plans.run()


def test_nothing_is_drawn_ahead_where_one_is_at_work(plans: Plans, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.FakeWorld.simulator.abreast = Abreast(1)
    assert plans.run().candidates[2].files
    assert plans.told == ["write 1", "write 2", "write 3"]
