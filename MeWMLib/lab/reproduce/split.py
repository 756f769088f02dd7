"""The paper's 80/20 split of the public cohort: what is fitted sees the larger part, figures are of the smaller one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from MeWMLib.core.errors import InputError
from MeWMLib.lab.reproduce.members import Member


def held_out(members: Sequence[Member], share: float, seed: int) -> frozenset[str]:
    """Ids of the smaller part, stratified by what was given and whether death was seen.

    Patients for judging are always in it. Of each stratum the share is taken, rounded so that the whole is near it.

    Raises:
        InputError: a share that is not between 0 and 1, or a part that would be empty.
    """
    if not 0 < share < 1:
        raise InputError(what="The share that is held out must lie between 0 and 1", given=f"{share:g}")
    chosen = {m.id for m in members if m.judging}
    strata: dict[tuple[str, bool | None], list[str]] = defaultdict(list)
    for member in members:
        if not member.judging:
            given = "" if member.protocol is None else " + ".join(sorted(member.protocol.agents))
            strata[given, member.row.event].append(member.id)
    rng = np.random.default_rng(seed)
    order: list[str] = []
    for key in sorted(strata, key=str):
        order += [strata[key][n] for n in rng.permutation(len(strata[key]))]
    # evenly spaced over patients that are sorted by stratum: each gives its share, and the rounding evens out
    wanted = round(share * len(order))
    places = np.floor((np.arange(wanted) + 0.5) * len(order) / max(wanted, 1)).astype(int)
    chosen |= {order[n] for n in places}
    if not 0 < len(chosen) < len(members):
        raise InputError(
            what="A part of the split would be empty",
            given=f"{len(chosen)} of {len(members)} patients held out",
            remedy="Give another share, or more patients",
        )
    return frozenset(chosen)
