"""Read the agents that a treatment goal names, and whether they are wanted: plain English, no model, no network.

What is understood, sentence by sentence ("but", "however" and a semicolon end a sentence too):

- An agent is named by its canonical name, a synonym, or a word for its class (`_GROUPS`): "drug-eluting beads",
  "platinum", "anthracyclines", "particles", "glue", "alcohol", "cTACE".
- The last cue before an agent decides, so that a cue holds for a list: "no cisplatin or mitomycin", "prefer PVA and
  Lipiodol". Cues against: no, not, without, avoid, never, exclude, omit, allergic to, instead of, ... Cues for: prefer,
  use, with, give, favour, ... Cues that say nothing about today: after, previous, failed, no contraindication to, ...
- A cue right behind an agent counts as well: "cisplatin is contraindicated", "mitomycin allergy", "PVA preferred".
- An agent without any cue is named positively. Where one goal says both, no wins.

Everything else is ignored; a goal never makes an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from MeWMLib.core.protocol import vocabulary

#: Word to class of agents.
_GROUPS = {
    "platinum": "platinum",
    "platinum drug": "platinum",
    "platinum agent": "platinum",
    "platin": "platinum",
    "anthracycline": "anthracycline",
    "antimetabolite": "antimetabolite",
    "topoisomerase inhibitor": "topoisomerase inhibitor",
    "particle": "particle",
    "glue": "glue",
    "cyanoacrylate": "glue",
    "alcohol": "sclerosant",
    "sclerosant": "sclerosant",
    "drug-eluting bead": "drug-eluting bead",
    "drug-eluting microsphere": "drug-eluting bead",
    "doxorubicin-eluting bead": "drug-eluting bead",
    "bead": "drug-eluting bead",
    "deb-tace": "drug-eluting bead",
    "iodised oil": "oil",
    "ethiodised oil": "oil",
    "conventional tace": "oil",
    "ctace": "oil",
}
_AGAINST = (
    r"(?:do not|don't|does not|should not|shouldn't|must not|cannot|can't|may not|not to|never|not)"
    r"(?: \w+)? (?:use|give|receive|tolerate|add|include|want|have)|"
    r"no|not|without|avoid(?:ing)?|never|exclud(?:e|ing)|omit(?:ting)?|skip(?:ping)?|spare|refus(?:e|es|ing)|"
    r"allerg(?:ic|y) (?:to|against)|intoleran(?:t|ce) (?:to|of)|contraindication (?:to|for|against)|"
    r"instead of|rather than|other than|free of"
)
_FOR = (
    r"prefer(?:s|red|ably|ring)?|us(?:e|ing)|with|giv(?:e|ing)|add(?:ing)?|includ(?:e|ing)|favou?r|want(?:s|ed)?|"
    r"choose|try|plan(?:ned)?|only|based on"
)
_NEUTRAL = (
    r"no (?:known )?(?:contraindication|allergy|objection|intolerance)s? (?:to|for|against)|not only|"
    r"previous(?:ly)?|prior|after|following|failed|history of|had|whether|compare"
)
_CUE = re.compile(rf"\b(?:(?P<neutral>{_NEUTRAL})|(?P<against>{_AGAINST})|(?P<wanted>{_FOR}))(?!\w)")
_BEHIND = re.compile(
    r"[\s-]*(?:is|are|was|were)?\s*(?:"
    r"(?P<against>(?:to be |should be |must be )?(?:contraindicated|avoided|excluded|forbidden|omitted)|not\b|"
    r"allergy|intolerance|hypersensitivity|-?free\b)|(?P<wanted>(?:to be |is )?(?:preferred|wanted|please)))"
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[;\n]|\b(?:but|however|though|then)\b")


@dataclass(frozen=True)
class GoalAgents:
    """Agents that a goal names, by canonical name in the order in which the goal names them.

    Attributes:
        wanted: named positively.
        excluded: named negatively; never in `wanted` too.
    """

    wanted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def parse_goal(goal: str) -> GoalAgents:
    """Return the agents that the goal wants and excludes; see the module for what is understood."""
    wanted: dict[str, None] = {}
    excluded: dict[str, None] = {}
    text = goal.lower().replace("\u2019", "'").replace("ized oil", "ised oil")
    for sentence in _SENTENCE_END.split(text):
        names = list(_names().finditer(sentence))
        # Cues are looked for outside the names, so that no part of a name is taken for one.
        cues = [c for c in _CUE.finditer(sentence) if not any(n.start() <= c.start() < n.end() for n in names)]
        for name in names:
            before = [cue for cue in cues if cue.end() <= name.start()]
            behind = _BEHIND.match(sentence, name.end())
            polarity = behind.lastgroup if behind else before[-1].lastgroup if before else "wanted"
            for agent_name in _by_name()[_key(name[0])]:
                if polarity == "wanted":
                    wanted.setdefault(agent_name)
                elif polarity == "against":
                    excluded.setdefault(agent_name)
    return GoalAgents(tuple(name for name in wanted if name not in excluded), tuple(excluded))


def excluded_agents(goal: str) -> tuple[str, ...]:
    """What a goal rules out; see `excluded_by`."""
    return excluded_by(parse_goal(goal))


def excluded_by(named: GoalAgents) -> tuple[str, ...]:
    """What the named agents rule out.

    The beads are loaded with doxorubicin: who excludes the drug does not want them, unless the goal asks for them.
    """
    if "Doxorubicin" in named.excluded and "LC beads" not in named.wanted:
        return tuple(dict.fromkeys((*named.excluded, "LC beads")))
    return named.excluded


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text).removesuffix("s")


@cache
def _by_name() -> dict[str, tuple[str, ...]]:
    """Every name that is understood, without blanks, hyphens and plural, to the agents that it means."""
    agents = vocabulary().values()
    known = {_key(text): tuple(a.name for a in agents if a.agent_class == group) for text, group in _GROUPS.items()}
    return known | {_key(name.lower()): (a.name,) for a in agents for name in (a.name, *a.synonyms)}


@cache
def _names() -> re.Pattern[str]:
    """Matches any name, the longest first; blanks and hyphens are free, a plural s may follow."""
    texts = {*_GROUPS, *(n.lower() for a in vocabulary().values() for n in (a.name, *a.synonyms))}
    parts = []
    for text in sorted(texts, key=len, reverse=True):
        words = re.findall(r"[a-z0-9]+", text.removesuffix("s") if len(text) > 3 else text)
        parts.append(r"[\s-]*".join(map(re.escape, words)) + "s?")
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(parts)})(?![a-z0-9])")
