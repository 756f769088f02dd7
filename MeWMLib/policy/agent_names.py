"""Agents as people write them in goals and reports: blanks, hyphens and spelling are free, a plural s may follow."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache

from MeWMLib.core.errors import UnknownAgentError
from MeWMLib.core.protocol import agents_of, vocabulary


@cache
def classes() -> dict[str, tuple[str, ...]]:
    """Every class of agents, to the canonical names of its members in vocabulary order."""
    names = sorted({a.agent_class for a in vocabulary().values()})
    return {name: tuple(a.name for a in vocabulary().values() if a.agent_class == name) for name in names}


def members(agent_class: str) -> tuple[str, ...]:
    """Canonical names of the agents of a class.

    Raises:
        UnknownAgentError: there is no such class.
    """
    if agent_class not in classes():
        remedy = "Known classes: " + ", ".join(classes())
        raise UnknownAgentError(what="Unknown class of agents", given=repr(agent_class), remedy=remedy)
    return classes()[agent_class]


def offered(kind: str, among: Collection[str] | None = None) -> tuple[str, ...]:
    """Names of the drugs or the embolics that may be chosen from; None is the whole vocabulary."""
    return tuple(name for name in agents_of(kind) if among is None or name in among)


@cache
def written_names() -> dict[str, str]:
    """Every name and synonym as the vocabulary writes it, to the canonical name."""
    return {name: a.name for a in vocabulary().values() for name in (a.name, *a.synonyms)}


def letters(text: str) -> str:
    """A name without case, blanks, hyphens and plural; British and American spelling (iodised, iodized) are one."""
    return re.sub(r"[^a-z0-9]", "", text.lower()).replace("isedoil", "izedoil").removesuffix("s")


@cache
def by_letters() -> dict[str, str]:
    """`letters` of every name to the canonical name."""
    return {letters(text): name for text, name in written_names().items()}


def pattern_of(names: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the names, the longest first. Short names in capitals (IDA, EPI, GS) are matched only as such:
    in small letters they are words, or parts of words.
    """
    parts = []
    for name in sorted(names, key=len, reverse=True):
        words = re.findall(r"[A-Za-z0-9]+", name.removesuffix("s") if len(name) > 3 else name)
        whole = r"[\s-]*".join(words) + "s?"
        if whole[-3].isdigit():  # "Glubran 2 ml" are two millilitres of Glubran, not an amount of Glubran 2
            whole += r"(?!\s*(?:mg|g|ml|cc)\b)"
        parts.append(whole if len(name) <= 3 and name.isupper() else f"(?i:{whole})")
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(parts)})(?![A-Za-z0-9])")
