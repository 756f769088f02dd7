"""What is said of the difference of two protocols: terminal, report, panel and app share these words.

A difference is never said without its spread. One that is too small against it is called what it is: the two cannot be
told apart.
"""

from __future__ import annotations

from typing import NamedTuple

from MeWMLib.core.beside import Beside, Swap
from MeWMLib.core.comparison import APART, Difference
from MeWMLib.core.plan import Candidate, Contribution
from MeWMLib.core.plan_document import PlanDocument

#: What stands in place of an interval that was not kept, as in plans of older versions.
NO_SPREAD = "spread not known"
#: How to read an interval of a difference, for a note below a table.
INTERVAL_MEANING = (
    "An interval is that of the true difference, which on average is a share of the predicted one, and so its middle "
    "is not the predicted difference."
)


class ChangeRow(NamedTuple):
    """One row of a table of changes.

    Attributes:
        what: what was changed, such as "PVA in place of Gelatin Sponge".
        change: predicted change of the log-risk, such as "-0.01"; "" where it was not simulated.
        interval: 95 % interval of the true change, such as "-0.60 to +0.59"; `NO_SPREAD` where nothing is known of it.
        verdict: whether it can be told apart, or why it was not simulated.
        forbidden: true if rules forbid it.
    """

    what: str
    change: str
    interval: str
    verdict: str
    forbidden: bool = False


def percent(share: float) -> str:
    """Such as "93 %" and "92.5 %"."""
    return f"{round(100 * share, 1):g} %"


def number(value: float) -> str:
    """A log-risk or a difference with its sign; never a negative nothing."""
    return f"{round(value, 2) + 0.0:+.2f}"


def interval_of(one: Difference | None) -> str:
    """Such as "-0.60 to +0.59"."""
    return NO_SPREAD if one is None else " to ".join(map(number, one.interval))


def verdict(one: Difference | None) -> str:
    """Such as "cannot be told apart (truly lower with 62 %)"."""
    if one is None:
        return "nobody knows whether it is more than chance"
    if one.told_apart:
        side, chance = ("lower", one.better) if one.better > 0.5 else ("higher", 1 - one.better)
        return f"truly {side} with a probability of {100 * chance:.0f} %"
    return f"cannot be told apart (truly lower with {100 * one.better:.0f} %)"


def moved_rows(candidate: Candidate) -> list[ChangeRow]:
    """What each action of a protocol moved, against leaving it out."""
    return [_moved(one) for one in candidate.contributions]


def _moved(one: Contribution) -> ChangeRow:
    if one.risk_change is None:
        return ChangeRow(one.part, "", "", "not simulated without it")
    return ChangeRow(one.part, number(one.risk_change), interval_of(one.difference), verdict(one.difference))


def swap_rows(swaps: tuple[Swap, ...]) -> list[ChangeRow]:
    """What each single swap does to the user's protocol."""
    return [_swapped(one) for one in swaps]


def _swapped(one: Swap) -> ChangeRow:
    if one.risk_change is None:
        return ChangeRow(one.text, "", "", f"forbidden by {', '.join(one.forbidden)}", forbidden=True)
    return ChangeRow(one.text, number(one.risk_change), interval_of(one.difference), verdict(one.difference))


def beside_lines(pair: Beside) -> list[str]:
    """The user's protocol against MeWM's first: the difference, its interval, and whether the two are told apart."""
    if pair.mine.protocol == pair.first.protocol:
        return ["The two protocols are the same."]
    told, found = f"Yours minus MeWM's: {number(pair.risk_difference)} log-risk", pair.difference
    if found is None:
        return [f"{told} ({NO_SPREAD}; lower is better): {verdict(None)}."]
    return [f"{told} (95 % interval {interval_of(found)}; lower is better).", apart_text(found, "Yours", "MeWM's")]


def apart_text(one: Difference, first: str, second: str) -> str:
    """Which of two is truly better, and whether that is enough to tell them apart.

    Args:
        one: log-risk of the first minus that of the second.
        first, second: what they are called, such as "Yours" and "MeWM's".
    """
    better, chance = (first, one.better) if one.better > 0.5 else (second, 1 - one.better)
    other = second if better == first else first.lower()
    end = "are told apart" if one.told_apart else "CANNOT BE TOLD APART"
    asked = f"that takes {percent(one.level)}"
    return f"{better} is truly better than {other} with a probability of {100 * chance:.0f} %: the two {end} ({asked})."


def apart_of(document: PlanDocument) -> dict[int, str]:
    """How each protocol of a plan stands to the first one, in a line, by rank (0: the user's own beside the ranking).

    Nothing for the first one itself, and nothing where it was not asked.
    """
    ranked = zip(document.plan.candidates, document.plan.standings, strict=False)
    found = {one.rank: standing.text for one, standing in ranked}
    pair = document.beside
    if pair is not None and pair.difference is not None and pair.mine.protocol != pair.first.protocol:
        # as a standing says it of the ranks
        chance, same = 1 - pair.difference.better, "" if pair.difference.told_apart else APART
        found[0] = f"rank 1 is better with a probability of {100 * chance:.0f} %{same}"
    return {rank: text for rank, text in found.items() if text}


def parts_lines(candidate: Candidate) -> list[str]:
    """Whether any part of a protocol can be told apart from leaving it out, and which part does harm; nothing where the
    protocol was not simulated without its parts, or nothing is known of how far that is from the truth."""
    known = [(one.part, one.difference) for one in candidate.contributions if one.difference is not None]
    if not known:
        return []
    lines = []
    if len(known) == len(candidate.contributions) and not any(one.told_apart for _, one in known):
        most = max(abs(one.change) for _, one in known)
        chance = max(max(one.better, 1 - one.better) for _, one in known)
        lines.append(
            f"No part of this protocol can be told apart from leaving it out: none changes the predicted log-risk by "
            f"more than {max(most, 0.005):.2f}, and none truly goes in its direction with a probability above "
            f"{100 * chance:.0f} % (that takes {percent(known[0][1].level)})."
        )
    lines += [
        f"Without {part} the log-risk is truly lower with a probability of {100 * (1 - one.better):.0f} %: {part} "
        f"changes it by {number(one.change)} (95 % interval {interval_of(one)})."
        for part, one in known
        if one.told_apart and one.better < 0.5
    ]
    return lines
