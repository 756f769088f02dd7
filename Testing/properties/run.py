"""`python Testing/properties/run.py --inputs 200000 --seed 1 --processes 2`: damaged inputs of every kind, and a table.

Each input is drawn from the seed and its number, so that `--only GROUP KIND NUMBER` draws it again. Children read them:
one that does not answer in time is ended, since a loop inside a library cannot be interrupted. The exit code is 1 where
a class that must be empty is not (known faults left out).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

sys.path[:0] = [str(Path(__file__).resolve().parents[2])] * (__name__ == "__main__")

from Testing.properties.case import BAD, CLASSES, LATE, SECONDS, Group, classify  # noqa: E402
from Testing.properties.known import KNOWN, UNSTEADY  # noqa: E402

#: Group, kind of damage, number.
Place = tuple[str, str, int]
#: Seconds after which a child that does not answer is ended; one that starts imports the library first.
PATIENCE, START = SECONDS + 3.0, 300.0
#: A kind of damage that took too long so often is not tried again.
MOST_LATE = 2


def groups() -> dict[str, Group]:
    """All groups by name."""
    from Testing.properties.dicom import CLASSIC, ENHANCED
    from Testing.properties.files import META, NIFTI, NRRD
    from Testing.properties.json_group import JSON
    from Testing.properties.labels import LABELS
    from Testing.properties.tables import TABLES

    return {group.name: group for group in (NIFTI, NRRD, META, LABELS, CLASSIC, ENHANCED, TABLES, JSON)}


def places(count: int) -> Iterator[Place]:
    """So many inputs, every kind of damage in turn."""
    kinds = [(group.name, kind) for group in groups().values() for kind in group.kinds]
    for n in range(count):
        yield (*kinds[n % len(kinds)], n // len(kinds))


def read_one(place: Place, seed: int) -> tuple[str, str]:
    """The class of an input, and what the reader said."""
    group, kind, number = place
    return classify(groups()[group].kinds[kind](Random(f"{seed} {group} {kind} {number}")))


def _serve(pipe: Connection, seed: int) -> None:
    """A child: reads inputs until it is told None."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libraries complain there
    for group in groups().values():  # what is imported on the way is not the time of an input
        if "valid" in group.kinds:
            read_one((group.name, "valid", 0), seed)
    pipe.send(("ready", ""))
    while (place := pipe.recv()) is not None:
        try:
            pipe.send(read_one(place, seed))
        except Exception:
            pipe.send(("error of the harness", traceback.format_exc()))


class _Child:
    """A process that reads inputs, started again where it had to be ended."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs, self._seed), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(START):
            message = "a child did not start"
            raise RuntimeError(message)
        self._pipe.recv()

    def ask(self, place: Place) -> tuple[str, str]:
        """The class of an input."""
        self._pipe.send(place)
        try:
            if self._pipe.poll(PATIENCE):
                found: tuple[str, str] = self._pipe.recv()
                return found
            said = LATE, f"more than {PATIENCE:g} s in a library"
        except EOFError:
            said = "foreign traceback", f"the process ended with {self._process.exitcode}"
        self.close()
        self._start()
        return said

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join(10)


@dataclass
class Tally:
    """What came out.

    Attributes:
        counts: classes of each group.
        bad: place and text of inputs in classes that must be empty.
    """

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    bad: list[tuple[Place, str, str]] = field(default_factory=list)

    @property
    def faults(self) -> set[tuple[str, str]]:
        """Group and kind of damage of those."""
        return {place[:2] for place, _, _ in self.bad}

    def table(self) -> str:
        """As text."""
        lines = [f"{'':24}" + "".join(f"{name:>19}" for name in CLASSES)]
        for group, found in self.counts.items():
            lines.append(f"{group:24}" + "".join(f"{found[name]:19}" for name in CLASSES))
        return "\n".join(lines)


def run(count: int, seed: int, processes: int) -> Tally:
    """Read so many inputs."""
    tally, lock, waiting = Tally(), threading.Lock(), places(count)
    problems: list[str] = []
    late: Counter[tuple[str, str]] = Counter()

    def work() -> None:
        child = None
        try:
            child = _Child(seed)
            while True:
                with lock:
                    place = next((one for one in waiting if late[one[:2]] < MOST_LATE), None)
                if place is None or problems:
                    return
                kind, said = child.ask(place)
                with lock:
                    tally.counts[place[0]][kind] += 1
                    late[place[:2]] += kind == LATE
                    if kind in BAD:
                        tally.bad.append((place, kind, said))
                    elif kind not in CLASSES:
                        problems.append(f"{place}: {said}")
        except Exception:  # a thread that ends in silence would leave an empty table
            problems.append(traceback.format_exc())
        finally:
            if child is not None:
                child.close()

    threads = [threading.Thread(target=work) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise RuntimeError(problems[0])
    return tally


def main(argv: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs=3, metavar=("GROUP", "KIND", "NUMBER"), help="read one input in this process")
    args = parser.parse_args(argv)
    if args.only:
        print(*read_one((args.only[0], args.only[1], int(args.only[2])), args.seed), sep="\n")
        return 0
    tally = run(args.inputs, args.seed, args.processes)
    print(tally.table())
    shown: set[tuple[str, str, str]] = set()
    for (group, kind, number), fault, said in sorted(tally.bad):
        if (group, kind, fault) not in shown:
            shown.add((group, kind, fault))
            mark = " (known)" if (group, kind) in KNOWN | UNSTEADY else ""
            print(f"\n{fault}{mark}: --only {group!r} {kind!r} {number}\n{said.strip()[-400:]}")
    return int(bool(tally.faults - KNOWN - UNSTEADY))


if __name__ == "__main__":
    raise SystemExit(main())
