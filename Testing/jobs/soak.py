"""Users send jobs to a server whose processes are killed again and again: all results right, none lost, none twice.

`make soak` runs it with the real networks in their smallest settings (hours); `test_soak.py` with the small world. The
right results are those of the same jobs run on this computer, by the local runner, without any server. With `--state` a
soak that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests

from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core import io
from MeWMLib.core.errors import ServerUnreachableError
from MeWMLib.core.private_files import private
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.processes import child_environment, end_tree, own_group
from MeWMLib.jobs.remote import RemoteRunner
from MeWMLib.jobs.remote_http import ServerClient
from MeWMLib.jobs.server_users import Tokens
from MeWMLib.jobs.warm import WarmWorker
from MeWMLib.jobs.wire import Address

_SERVE = "import sys; from MeWMLib.cli import main; a = sys.argv[2:]; w = sys.argv[1]; "
_SERVE += "sys.exit(main(a, worker=[sys.executable, w] if w else None))"
#: A client keeps on asking for so long while the server is down (seconds before each new try).
_PATIENCE = (0.5,) * 1200


@dataclass
class Plan:
    """What is done to a server.

    Attributes:
        users, jobs: so many users send so many jobs together.
        server_kills, worker_kills: how often each is killed.
        seed: of the moments.
        worker: script of a worker in place of the real one, or "".
        variants: different jobs among all.
        job: makes the job of a variant, without its output.
        slots: jobs at a time.
    """

    users: int
    jobs: int
    server_kills: int
    worker_kills: int
    seed: int
    worker: str
    variants: int
    job: Any
    slots: int = 1
    told: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Keep a line of the note, and show it."""
        self.told.append(text)
        print(text, file=sys.stderr, flush=True)


class Server:
    """`mewm serve` as a process that can be killed and started again on the same folder and port."""

    def __init__(self, data: Path, plan: Plan) -> None:
        self.data, self.plan, self.port = data, plan, 0
        #: Further arguments of `mewm serve`.
        self.more: tuple[str, ...] = ()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for its address."""
        log = (self.data.parent / "server.log").open("ab")
        arguments = ["serve", "--port", str(self.port), "--data", str(self.data), "--max-jobs", str(self.plan.slots)]
        command = [sys.executable, "-c", _SERVE, self.plan.worker, *arguments, *self.more]
        with log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=child_environment(), **own_group()
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        url = next((word for word in line.split() if word.startswith("http://")), "")
        assert url, f"the server did not start: {(self.data.parent / 'server.log').read_text()[-2000:]}"
        self.port = int(url.rpartition(":")[2])

    @property
    def url(self) -> str:
        """Its address, which stays."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL the server alone: its workers find their input closed."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill_worker(self) -> bool:
        """SIGKILL a worker that is at work; False if none is."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            line = " ".join(child.cmdline())
            if "--stay" in line:
                child.kill()
                return True
        return False

    def stop(self) -> None:
        """End it and everything that it started."""
        if self.process is not None:
            end_tree(self.process)
            assert self.process.stdout is not None
            self.process.stdout.close()


def numbers_of(folder: Path) -> dict[str, Any]:
    """What must be the same: candidates, order and how the search ended."""
    plan = json.loads((folder / "plan.json").read_text())
    return {key: plan[key] for key in ("candidates", "stopped_by", "evaluated_protocols")}


class State:
    """What is done of a soak, in a file of its folder."""

    def __init__(self, folder: Path) -> None:
        self._file, self._lock = folder / "state.json", threading.Lock()
        known = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.tokens: dict[str, str] = known.get("tokens", {})
        self.results: dict[int, str] = {int(n): found for n, found in known.get("results", {}).items()}
        self.killed: list[str] = known.get("killed", [])
        self.seconds: float = known.get("seconds", 0.0)
        #: Times that the soak itself was interrupted.
        self.resumed: int = known.get("resumed", -1) + 1

    def keep(self) -> None:
        """Write it down."""
        with self._lock:
            fresh = self._file.with_suffix(".new")
            with private(fresh, "w") as stream:
                stream.write(json.dumps({key: one for key, one in vars(self).items() if key[0] != "_"}))
            fresh.replace(self._file)


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Do it; returns the figures. What the folder tells of a former run is not done again.

    Raises:
        AssertionError: a result is wrong, lost, there twice, or something is left.
    """
    chance, state = random.Random(plan.seed), State(folder)
    begun = time.monotonic()
    warm = WarmWorker(lambda: [sys.executable, plan.worker] if plan.worker else runner.worker_command())
    right = []
    for variant in range(plan.variants):
        out = folder / "right" / str(variant)
        if not (out / "plan.json").exists():
            runner.run(plan.job(variant, str(out)), make=warm.runner)
        right.append(numbers_of(out))
    warm.close()
    plan.say(f"{plan.variants} right results in {time.monotonic() - begun:.0f} s")
    data = folder / "data"
    state.tokens = state.tokens or {f"user{n}": Tokens(data).create(f"user{n}") for n in range(plan.users)}
    state.keep()
    server = Server(data, plan)
    server.start()
    tokens, results = state.tokens, state.results
    for name in tokens if state.resumed else ():
        # the clients of a soak that was interrupted are gone
        client = ServerClient(Address.parse(server.url), lambda name=name: tokens[name])  # type: ignore[misc]
        for left in client.jobs():
            client.remove(left.id)
    errors: list[str] = []
    lock = threading.Lock()
    work = time.monotonic() - state.seconds

    def user(number: int) -> None:
        name = f"user{number}"
        for n in range(number, plan.jobs, plan.users):
            if n in results:
                continue
            out = folder / "out" / str(n)
            client = ServerClient(Address.parse(server.url), lambda: tokens[name])
            job = plan.job(n % plan.variants, str(out))
            try:
                _sent(job, client)
                found = "right" if numbers_of(out) == right[n % plan.variants] else "wrong"
            except Exception as error:
                found = f"failed: {type(error).__name__}: {error}"
                errors.append(found)
            with lock:
                assert n not in results
                results[n] = found
                state.seconds = time.monotonic() - work
                state.keep()
                plan.say(f"{state.seconds:7.1f} s, job {n} of {name}: {found}")

    threads = [threading.Thread(target=user, args=(n,)) for n in range(plan.users)]
    for thread in threads:
        thread.start()
    moments = ["server"] * plan.server_kills + ["worker"] * plan.worker_kills
    chance.shuffle(moments)
    # a kill after so many results, at a moment between two
    after = sorted(chance.sample(range(plan.jobs - plan.users), len(moments)))
    for what, number in list(zip(moments, after, strict=True))[len(state.killed) :]:
        while len(results) < number and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.4))
        if what == "server":
            server.kill()
            server.start()
        else:
            until = time.monotonic() + 60.0
            while not server.kill_worker() and time.monotonic() < until:
                time.sleep(0.02)
        state.killed.append(what)
        plan.say(f"{time.monotonic() - work:7.1f} s, {len(results)} results: the {what} was killed")
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - work
    for entry in ("jobs", "slots"):
        left = [p for p in (data / entry).glob("**/in")]
        assert not left, f"left behind: {left}"
    listed = requests.get(
        f"{server.url}/jobs", headers={"Authorization": f"Bearer {tokens['user0']}"}, proxies={"http": None}, timeout=30
    ).json()["jobs"]
    server.stop()
    audit = [json.loads(line) for line in (data / "audit.log").read_text().splitlines()]
    done = Counter(one["job"] for one in audit if one["what"] == "done")
    killed = Counter(state.killed)
    figures = {
        "resumed": state.resumed,
        "jobs": plan.jobs,
        "users": plan.users,
        "seed": plan.seed,
        "server_kills": killed["server"],
        "worker_kills": killed["worker"],
        "right": sum(found == "right" for found in results.values()),
        "wrong": sum(found == "wrong" for found in results.values()),
        "failed": len(errors),
        "lost": plan.jobs - len(results),
        "ended_more_than_once": sum(number > 1 for number in done.values()),
        "jobs_at_the_server": len(done),
        "left_at_the_server": len(listed),
        "seconds": round(seconds, 1),
    }
    assert figures["right"] == plan.jobs, (figures, errors[:5])
    # those whose clients were interrupted may have been done and were sent again
    assert plan.jobs <= len(done) <= plan.jobs + state.resumed * plan.users, figures
    assert figures["ended_more_than_once"] == 0 and not listed, figures
    return figures


def _sent(job: Job, client: ServerClient) -> None:
    """Run a job on the server; while it is down when the job is begun, try again, as a user does."""
    while True:
        try:
            runner.run(job, make=lambda: RemoteRunner(client, retry_s=_PATIENCE))
        except ServerUnreachableError as error:
            if "lost while the job ran" in error.what:
                raise
            time.sleep(0.5)
        else:
            return


def small_job(variant: int, out: str) -> Job:
    """A plan over the small world."""
    return Job("plan", {"case": "sample:tiny"}, out, seed=variant, settings={"drugs": 2, "embolics": 1})


def real_jobs(folder: Path) -> Callable[[int, str], Job]:
    """Plans with the real networks in their smallest settings, of a patient with a small scan: it is sent as files."""
    case = folder / "case"
    if not (case / "labels.nrrd").exists():
        sample = load_sample("synthetic")
        box = tuple(slice(int(at.min()), int(at.max()) + 1, 2) for at in np.nonzero(sample.labels.array))
        affine = sample.ct.geometry.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [part.start for part in reversed(box)]
        affine[:3, :3] *= 2.0
        ct, labels = sample.ct.array[box].copy(), sample.labels.array[box].copy()
        grid = Geometry(ct.shape, affine)
        case.mkdir(exist_ok=True)
        io.write_volume(Volume(ct, grid, sample.ct.phase), case / "ct.nrrd")
        io.write_labels(LabelMap(labels, grid), case / "labels.nrrd")
    inputs = {"case": str(case / "ct.nrrd"), "labels": str(case / "labels.nrrd"), "accept_labels": True}
    smallest = {"drugs": 1, "embolics": 1, "replicas": 1, "steps": 1, "beams": 1, "keep": 1, "dose_levels": 0}
    return lambda variant, out: Job("plan", inputs, out, seed=variant, device="cpu", settings=smallest)


def main() -> None:
    """The soak of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--server-kills", type=int, default=5)
    parser.add_argument("--worker-kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variants", type=int, default=5)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--state", help="folder that stays: a soak that was interrupted goes on")
    parser.add_argument("--small-world", action="store_true", help="arithmetic in place of the networks")
    given = parser.parse_args()
    worker = str(Path(__file__).with_name("fake_worker.py")) if given.small_world else ""
    kills = (given.server_kills, given.worker_kills)
    with contextlib.ExitStack() as stack:
        made = given.state or stack.enter_context(tempfile.TemporaryDirectory(prefix="mewm-soak-"))
        folder = Path(made).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("MEWM_DATA", str(folder / "home"))
        job = small_job if given.small_world else real_jobs(folder)
        plan = Plan(given.users, given.jobs, *kills, given.seed, worker, given.variants, job, given.slots)
        print(json.dumps(run(plan, folder), indent=1))


if __name__ == "__main__":
    main()
