"""Ten clients with ten short jobs each on one server against the same jobs, one after the other, in one warm process.

Both in one run, in turns, since a computer is not equally fast all day. Where other programs want its processor too,
the share of the time that the worker is at work and the seconds of the processor say more. `make bench-server`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import psutil
import requests

from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.remote import RemoteRunner
from MeWMLib.jobs.remote_http import ServerClient
from MeWMLib.jobs.runner import worker_command
from MeWMLib.jobs.server_users import Tokens
from MeWMLib.jobs.warm import WarmWorker
from MeWMLib.jobs.wire import Address
from Testing.jobs.soak import Plan, Server


def job_of(number: int, out: Path | None) -> Job:
    """A short job: the lesions of the synthetic sample are measured on its labels, and protocols proposed."""
    inputs = {"case": "sample:synthetic", "segment": False}
    return Job("propose", inputs, str(out) if out else None, seed=number, device="cpu")


def alone(jobs: int, worker: WarmWorker) -> float:
    """Seconds of the jobs one after the other in one process that is warm already."""
    begun = time.monotonic()
    for n in range(jobs):
        runner.run(job_of(n, None), make=worker.runner)
    return time.monotonic() - begun


def together(clients: int, each: int, server: Server, tokens: list[str]) -> tuple[float, list[float]]:
    """Seconds of the same jobs from several clients, and the median wait of each client (seconds to a result)."""
    waits: list[list[float]] = [[] for _ in range(clients)]
    ready = threading.Barrier(clients + 1)

    def one(number: int) -> None:
        client = ServerClient(Address.parse(server.url), lambda: tokens[number])

        def ask(n: int) -> None:
            begun = time.monotonic()
            runner.run(job_of(n, None), make=lambda: RemoteRunner(client))
            waits[number].append(time.monotonic() - begun)

        ready.wait()
        # a client asks for all of its jobs at once
        threads = [threading.Thread(target=ask, args=(number * each + n,)) for n in range(each)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.monotonic()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun, [median(row) for row in waits]


def at_work(server: Server, token: str) -> float:
    """Seconds that the worker has been at work so far, of all jobs."""
    answer = requests.get(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {token}"}, proxies={"http": None}, timeout=60
    )
    lines = [line for line in answer.text.splitlines() if line.startswith("mewm_job_seconds_sum")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def processor(*pids: int | None) -> float:
    """Seconds of the processor that processes have taken."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids if pid is not None)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small-world", action="store_true", help="arithmetic in place of the networks")
    parser.add_argument(
        "--memory-jobs", type=int, default=0, help="so many more jobs while the server's memory is watched"
    )
    given = parser.parse_args()
    script = str(Path(__file__).parents[1] / "jobs" / "fake_worker.py") if given.small_world else ""
    command = [sys.executable, script] if script else worker_command()
    with tempfile.TemporaryDirectory(prefix="mewm-bench-") as folder:
        os.environ["MEWM_DATA"] = str(Path(folder) / "home")
        data, total = Path(folder) / "data", given.clients * given.each
        tokens = [Tokens(data).create(f"user{n}") for n in range(given.clients)]
        watcher = Tokens(data).create("watcher", scopes=("metrics",))
        server = Server(data, Plan(given.clients, total, 0, 0, 1, script, 1, None))
        server.more = ("--connections", str(4 * total))
        server.start()
        warm = WarmWorker(lambda: command)
        rows = []
        try:
            together(1, 1, server, tokens)
            alone(1, warm)
            assert server.process is not None
            process = psutil.Process(server.process.pid)
            workers = [child.pid for child in process.children() if "--stay" in child.cmdline()]
            for _ in range(given.rounds):
                before = processor(warm.pid)
                one = alone(total, warm)
                taken = processor(warm.pid) - before
                before, busy, own = processor(*workers), at_work(server, watcher), processor(process.pid)
                many, waits = together(given.clients, given.each, server, tokens)
                there, busy = processor(*workers) - before, (at_work(server, watcher) - busy) / many
                own = (processor(process.pid) - own) / total
                rows.append((one, many, max(waits) / min(waits), busy, taken / total, there / total, own))
                print(
                    f"alone {one:.1f} s, together {many:.1f} s, ratio {one / many:.3f}, at work {busy:.3f}",
                    file=sys.stderr,
                    flush=True,
                )
            memory = [process.memory_info().rss / 1024**2]
            for _ in range(given.memory_jobs // total):
                together(given.clients, given.each, server, tokens)
                memory.append(process.memory_info().rss / 1024**2)
        finally:
            warm.close()
            server.stop()
    print(
        json.dumps(
            {
                "clients": given.clients,
                "jobs": total,
                "rounds": given.rounds,
                "throughput_ratio": [round(row[0] / row[1], 3) for row in rows],
                "median_throughput_ratio": round(median(row[0] / row[1] for row in rows), 3),
                "slowest_to_fastest_median_wait": [round(row[2], 3) for row in rows],
                "share_of_the_time_that_the_worker_is_at_work": [round(row[3], 3) for row in rows],
                "processor_s_of_a_job": {
                    "alone": [round(row[4], 3) for row in rows],
                    "worker_of_the_server": [round(row[5], 3) for row in rows],
                    "server": [round(row[6], 3) for row in rows],
                },
                "server_memory_mb": [round(one, 1) for one in memory],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
