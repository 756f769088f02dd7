"""Volumes that lie in one series without a tag that tells them apart: by the order in which they were stored.

Stored one after another, a new volume begins where a place is taken again; stored place by place, the n-th slice at
every place belongs to the n-th volume. An order that is neither says nothing, and slices of different volumes must not
be mixed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from MeWMLib.core.dicom.records import SAME_PLACE_MM, SliceRecord, in_order, places_of


def grid_of(members: Sequence[SliceRecord]) -> list[int]:
    """The place of every slice as a whole number; places that differ by printing alone share one."""
    places = places_of(members)
    order = np.argsort(places, kind="stable")
    new = np.concatenate([[0], np.cumsum(np.diff(places[order]) > SAME_PLACE_MM)])
    found = np.empty(len(places), dtype=int)
    found[order] = new
    return [int(n) for n in found]


def _key(one: SliceRecord) -> tuple[str, int, int]:
    """Key of the order in which slices were stored."""
    return one.time, one.instance, one.frame


def by_repeats(members: Sequence[SliceRecord]) -> list[list[SliceRecord]]:
    """The volumes of slices of which several lie at each place; none if it is not known which belong together."""
    if unordered(members):
        return _by_names(members)
    stored = sorted(members, key=_key)
    places = grid_of(stored)
    count: Counter[int] = Counter()
    ranks: dict[int, list[SliceRecord]] = defaultdict(list)
    for one, place in zip(stored, places, strict=True):
        ranks[count[place]].append(one)
        count[place] += 1
    runs = _runs(stored)
    if len(runs) == len(ranks) and all(map(_along, runs)):
        return runs
    together = 1 + sum(a != b for a, b in pairwise(places)) == len(count)
    times: dict[int, set[str]] = defaultdict(set)
    for one, place in zip(stored, places, strict=True):
        times[place].add(one.time)
    in_turn = all(len(times[place]) == n for place, n in count.items())
    return [ranks[n] for n in sorted(ranks)] if together or in_turn else []


def unordered(members: Sequence[SliceRecord]) -> list[list[SliceRecord]]:
    """Slices at one place of which nothing says which was stored first; the names of their files may be anything."""
    found: dict[object, list[SliceRecord]] = defaultdict(list)
    for one, place in zip(members, grid_of(members), strict=True):
        found[place, _key(one)].append(one)
    return [group for group in found.values() if len(group) > 1]


def _by_names(members: Sequence[SliceRecord]) -> list[list[SliceRecord]]:
    """Volumes in the order of the names of files, if it runs along the body from end to end each time; else nothing."""

    def key(one: SliceRecord) -> tuple[list[tuple[int, str]], int]:
        parts = re.findall(r"\d+|\D+", one.file.path.name)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], one.frame

    runs = _runs(sorted(members, key=key))
    steps = [np.diff(places_of(run)) for run in runs]
    return runs if all(len(run) > 2 for run in runs) and all((s > 0).all() or (s < 0).all() for s in steps) else []


def _along(run: Sequence[SliceRecord]) -> bool:
    """True if slices were stored along the body, but for a few steps back (odd slices after even ones)."""
    back = int((np.diff(places_of(run)) < 0).sum())
    return min(back, len(run) - 1 - back) <= len(run) / 8


def _runs(stored: Sequence[SliceRecord]) -> list[list[SliceRecord]]:
    """Slices in the order in which they were stored; a new run begins where a place is taken again."""
    runs: list[list[SliceRecord]] = [[]]
    taken: set[int] = set()
    for one, place in zip(stored, grid_of(stored), strict=True):
        if place in taken:
            runs.append([])
            taken = set()
        taken.add(place)
        runs[-1].append(one)
    return runs


def rounds_of(members: Sequence[SliceRecord], least: int) -> list[list[SliceRecord]]:
    """Slices by how often their storing began again `least` slices back along the body; one list if it never did.

    Where every InstanceNumber is there several times, as when two series were joined, each of them is a round.
    """
    numbers: dict[int, list[SliceRecord]] = defaultdict(list)
    for one in in_order(members):
        numbers[one.instance].append(one)
    counts = {len(same) for same in numbers.values()}
    if len(numbers) > least and len(counts) == 1 and counts != {1}:
        return [list(turn) for turn in zip(*numbers.values(), strict=True)]
    if len({_key(one) for one in members}) < len(members):
        return [list(members)]
    stored = sorted(members, key=_key)
    steps = np.diff(places_of(stored))
    forward = 1 if (steps > 0).sum() * 2 >= len(steps) else -1
    again = np.flatnonzero(steps * forward < -least * float(np.median(np.abs(steps)))) + 1
    cuts = [0, *again.tolist(), len(stored)]
    return [stored[a:b] for a, b in pairwise(cuts)]
