"""Users send jobs to a server whose processes are killed again and again: all results right, none lost, none twice.

`make soak` runs it with the real networks in their smallest settings (hours); `test_soak.py` with the small world. The
right results are those of the same jobs run on this computer, by the local runner, without any server.
"""

from __future__ import annotations

import argparse
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from MeWMLib.core.errors import ServerUnreachableError
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


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Do it; returns the figures.

    Raises:
        AssertionError: a result is wrong, lost, there twice, or something is left.
    """
    chance = random.Random(plan.seed)
    begun = time.monotonic()
    warm = WarmWorker(lambda: [sys.executable, plan.worker] if plan.worker else runner.worker_command())
    right = []
    for variant in range(plan.variants):
        out = folder / "right" / str(variant)
        runner.run(plan.job(variant, str(out)), make=warm.runner)
        right.append(numbers_of(out))
    warm.close()
    plan.say(f"{plan.variants} right results in {time.monotonic() - begun:.0f} s")
    data = folder / "data"
    tokens = {f"user{n}": Tokens(data).create(f"user{n}") for n in range(plan.users)}
    server = Server(data, plan)
    server.start()
    results: dict[int, str] = {}
    errors: list[str] = []
    lock = threading.Lock()
    work = time.monotonic()

    def user(number: int) -> None:
        name = f"user{number}"
        for n in range(number, plan.jobs, plan.users):
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

    threads = [threading.Thread(target=user, args=(n,)) for n in range(plan.users)]
    for thread in threads:
        thread.start()
    moments = ["server"] * plan.server_kills + ["worker"] * plan.worker_kills
    chance.shuffle(moments)
    # a kill after so many results, at a moment between two
    after = sorted(chance.sample(range(plan.jobs - plan.users), len(moments)))
    killed: Counter[str] = Counter()
    for what, number in zip(moments, after, strict=True):
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
        killed[what] += 1
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
    figures = {
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
    assert figures["jobs_at_the_server"] == plan.jobs, figures
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


def real_job(variant: int, out: str) -> Job:
    """A plan with the real networks in their smallest settings."""
    smallest = {"drugs": 1, "embolics": 1, "replicas": 1, "steps": 1, "beams": 1, "keep": 1, "dose_levels": 0}
    return Job("plan", {"case": "sample:synthetic"}, out, seed=variant, device="cpu", settings=smallest)


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
    parser.add_argument("--small-world", action="store_true", help="arithmetic in place of the networks")
    given = parser.parse_args()
    worker = str(Path(__file__).with_name("fake_worker.py")) if given.small_world else ""
    job = small_job if given.small_world else real_job
    plan = Plan(
        given.users,
        given.jobs,
        given.server_kills,
        given.worker_kills,
        given.seed,
        worker,
        given.variants,
        job,
        given.slots,
    )
    with tempfile.TemporaryDirectory(prefix="mewm-soak-") as folder:
        os.environ.setdefault("MEWM_DATA", str(Path(folder) / "home"))
        print(json.dumps(run(plan, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
