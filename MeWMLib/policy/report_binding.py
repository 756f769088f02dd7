"""Which name of a clause an amount belongs to, and which names are said not to have been given."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from MeWMLib.core.protocol import DRUG, agent
from MeWMLib.policy import report_words as words
from MeWMLib.policy.products import NOT_A_DOSE, PRODUCT
from MeWMLib.policy.report_numbers import Dose
from MeWMLib.policy.report_words import AGENT, MIXTURE, Name

#: What may separate an amount from its agent: a parenthesis, then filler words.
_LINK_BEGIN = re.compile(r"\s*(?:\([^)]*\)\s*)?")
_LINK_WORD = re.compile(
    r"(?:[a-z]*-?eluting|pure|plain|ultra|liquid|fluide|fluid|the|additional|further|more|small|powdered|dissolved|"
    r"free|generic|fresh|lyophili[sz]ed|crystalline|aqueous|diluted|undiluted|concentrated|fine(?:ly)?|standard|"
    r"amount|an?|solution|hydrochloride|hcl|pre-?loaded|loaded|into|of|super|this|same|selective)[\s-]+",
    re.I,
)
#: Characters: how far an amount and its agent are apart at most, and where else words are looked for beside a name.
_FAR, _NEAR = 400, 120
#: After these cues a comma ends the list of what was not given.
_UNTIL_COMMA = ("without", "instead of", "rather than")
_LINK_BEHIND = re.compile(
    r"^\s*(?:(?:resin|glass) )?(?:particles?|microspheres?|sponge|slurry|beads?|hydrochloride|hcl|pledgets?|foam)?"
    r"\)?\s*(?:\([^)\d]*\)?)?\s*\(?\s*(?:,\s*)?(?:(?:used|given|i\.?v\.?|i\.?a\.?|volume|amount|consumption)\b\.?\s*)?"
    r"(?:(?:(?:was|were)\s+)?(?:infused|injected|given|administered|delivered)\s+)?"
    r"(?:at a dose of|as|in|dose(?: of)?|dosed at|in a dose of|total(?: dose)?(?: of)?|was|were|:|=|-|\(|x)?\s*"
    r"(?:vials? of\s*)?\(?\s*$",
    re.I,
)
_RESPECTIVELY = re.compile(r"\brespectively\b", re.I)
_REST_UNITS = ("vial", "other")


@dataclass
class Bound:
    """What `bind` finds.

    Attributes:
        doses: by index of the name, the amount that was given.
        totals: by index of the name, the amount of all that was given.
        left: amounts that belong to no name, in order.
        misfits: an amount and the agent beside it that is not dosed in its unit.
    """

    doses: dict[int, Dose] = field(default_factory=dict)
    totals: dict[int, Dose] = field(default_factory=dict)
    left: list[Dose] = field(default_factory=list)
    misfits: list[tuple[Dose, str]] = field(default_factory=list)


def bind(text: str, names: Sequence[Name], doses: Sequence[Dose]) -> Bound:
    """Give each amount to the nearest name with only filler words in between.

    Args:
        text: the clause without sizes.
        names: what it names and does not negate, in order.
        doses: its amounts, in order (`find_amounts`).
    """
    found = Bound()
    agents = [n for n, name in enumerate(names) if name.kind == AGENT]
    if _RESPECTIVELY.search(text) and len(doses) == len(agents):
        found.doses = {n: d for n, d in zip(agents, doses, strict=True) if _fits(names[n], d)}
        return found
    slashed = [n for n, name in enumerate(names) if name.kind != MIXTURE]
    spans = [(dose.start, dose.end) for dose in doses], [(names[n].start, names[n].end) for n in slashed]
    if len(doses) == len(slashed) > 1 and all(_is_slashed(text, one) for one in spans):
        found.doses = dict(zip(slashed, doses, strict=True))
        return found
    starts, ends = [name.start for name in names], [name.end for name in names]
    text = _without_ratios(text, doses)
    for dose in doses:
        if dose.over:
            found.doses |= {n: dose for n in dose.over if n not in found.doses and _fits(names[n], dose)}
            continue
        options: list[tuple[int, int]] = []  # distance in characters, index of the name
        behind, before = bisect.bisect_left(starts, dose.end), bisect.bisect_right(ends, dose.start) - 1
        if behind < len(names) and _is_filler(text, dose.end, starts[behind]):
            options.append((starts[behind] - dose.end, behind))
            # "2 ml doxorubicin-eluting beads"
            if behind + 1 < len(names) and text[ends[behind] : starts[behind + 1]] in ("-", " "):
                options.append((starts[behind + 1] - dose.end, behind + 1))
        if before >= 0 and dose.start - ends[before] <= _FAR:
            if _LINK_BEHIND.match(text[ends[before] : dose.start]):
                options.append((dose.start - ends[before], before))
            elif dose.total and (known := _named_in(names, before, found.doses)):
                fitting = [n for n in known if _fits(names[n], dose)]
                options.append((dose.start - ends[before], (fitting or known)[-1]))
        _give(found, names, dose, [n for _, n in sorted(options)])
    return found


def _is_slashed(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    """ "epirubicin/Lipiodol (40 mg/8 ml)": True if nothing but a slash stands between them."""
    return all(text[a[1] : b[0]].strip() == "/" for a, b in itertools.pairwise(spans))


def _without_ratios(text: str, doses: Sequence[Dose]) -> str:
    """The text with blanks for concentrations, so that the amount behind one is still beside its name."""
    parts, at = [], 0
    for dose in doses:
        if dose.value is None and "/" in dose.text:
            parts += [text[at : dose.start], " " * (dose.end - dose.start)]
            at = dose.end
    return "".join([*parts, text[at:]])


def _give(found: Bound, names: Sequence[Name], dose: Dose, near: list[int]) -> None:
    into = found.totals if dose.total else found.doses
    free = [n for n in near if n not in into or into[n].value is None]
    fitting = [n for n in free if _fits(names[n], dose)]
    if fitting:
        into[fitting[0]] = dose
    elif free and (drug := _loaded_on(names, free[0], dose, found.doses)) is not None:
        into[drug] = dose
    elif free and names[free[0]].kind == AGENT and dose.unit not in _REST_UNITS:
        found.misfits.append((dose, names[free[0]].agent))
    else:
        found.left.append(dose)


def _loaded_on(names: Sequence[Name], beads: int, dose: Dose, doses: Collection[int]) -> int | None:
    """The drug of "doxorubicin-loaded HepaSphere (75 mg)", where the amount stands beside the beads."""
    drug = beads - 1
    if drug < 0 or drug in doses or names[beads].kind != AGENT or names[drug].kind != AGENT:
        return None
    on_beads = agent(names[beads].agent).agent_class == "drug-eluting bead" and agent(names[drug].agent).kind == DRUG
    return drug if on_beads and _fits(names[drug], dose) and names[beads].start - names[drug].end <= _NEAR else None


def _named_in(names: Sequence[Name], last: int, doses: Collection[int]) -> list[int]:
    """The agents up to one that have an amount of their own: what "(total 100 mg)" may be the total of."""
    return [n for n in range(max(0, last - 1), last + 1) if names[n].kind == AGENT and n in doses]


def _is_filler(text: str, start: int, end: int) -> bool:
    """True if only filler words separate an amount from its agent."""
    if end - start > _FAR:
        return False
    between, at = text[start:end], 0
    if begin := _LINK_BEGIN.match(between):
        at = begin.end()
    while at < len(between):
        word = _LINK_WORD.match(between, at)
        if word is None:
            return False
        at = word.end()
    return True


def _fits(name: Name, dose: Dose) -> bool:
    if name.kind == AGENT:
        return agent(name.agent).dose_unit == dose.unit
    return name.kind in (PRODUCT, NOT_A_DOSE) or dose.unit == "ml"


def negated(clause: str, names: Sequence[Name]) -> list[bool]:
    """Whether the clause says of each name that it was not given."""
    cues = list(words.NOT_BEFORE.finditer(clause))
    ends = [cue.end() for cue in cues]
    # names and joining words alone between a name and the one before it
    gaps = [_is_list(clause[a.end : b.start]) for a, b in itertools.pairwise(names)]
    found: list[bool] = []
    cue, covers, comma = -1, False, -1
    for n, name in enumerate(names):
        last = bisect.bisect_right(ends, name.start) - 1
        if last < 0:
            covers = False
        elif last != cue:  # the first name behind this cue
            cue, comma = last, clause.find(",", ends[last])
            covers = _is_list(clause[ends[last] : name.start])
        else:
            covers = covers and gaps[n - 1]
        # "no tumour staining after Lipiodol": a cue covers a list of names only, not everything that comes later.
        # "without Lipiodol, PVA was injected": after these cues a comma ends the list.
        ended = covers and cues[last][0].lower() in _UNTIL_COMMA and 0 <= comma < name.start
        behind = words.NOT_BEHIND.match(clause[name.end : name.end + _NEAR])
        found.append(bool(behind) or (covers and not ended))
    return found


def _is_list(text: str) -> bool:
    """True if the text holds only names, amounts and joining words."""
    rest, end = [], 0
    for name in words.find_names(text):
        rest.append(text[end : name.start])
        end = name.end
    plain = re.sub(
        r"\b(?:or|and|nor|neither|any|the|of|use|using|used|further|additional|either|particles?|a)\b",
        "",
        "".join([*rest, text[end:]]),
    )
    return not re.search(r"[A-Za-z]{3,}|:", plain)


def is_ingredient(seen: str, name: Name, dose: Dose | None) -> bool:
    """ "10 ml Lipiodol emulsion" is an amount of emulsion; "Epirubicin-Lipiodol emulsion with ..." names agents."""
    mixture = seen.strip(" -").lower() in ("emulsion", "mixture", "suspension")
    return mixture and (dose is None or dose.start > name.end)
