"""The agents that a treatment goal names, and whether they are wanted: plain English, no model, no network.

What is understood, sentence by sentence ("but", "however" and a semicolon end a sentence too):

- An agent is named by its canonical name, a synonym, its class or another word for that (`_CLASS_WORDS`):
  "drug-eluting beads", "platinum", "anthracyclines", "particles", "glue", "alcohol", "cTACE".
- The last cue before an agent decides, so that one cue covers a list: "no cisplatin or mitomycin", "prefer PVA and
  Lipiodol". Cues against: no, not, without, avoid, never, exclude, omit, allergic to, instead of, ... Cues for: prefer,
  use, with, give, favour, ... Cues that say nothing about today: after, previous, failed, no contraindication to, ...
- A cue right behind an agent counts as well: "cisplatin is contraindicated", "mitomycin allergy", "PVA preferred".
- An agent without any cue counts as wanted. Where a goal says both yes and no, no wins.

Everything else is ignored; a goal causes no error unless it is too long.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cache

from MeWMLib.core.texts import MOST_GOAL, require_length, single_blanks
from MeWMLib.policy.agent_names import by_letters, classes, letters, members, pattern_of, written_names

#: Words for a class of agents, in addition to the name of the class itself.
_CLASS_WORDS = {
    "platinum drug": "platinum",
    "platinum agent": "platinum",
    "platin": "platinum",
    "cyanoacrylate": "glue",
    "alcohol": "sclerosant",
    "doxorubicin-eluting bead": "drug-eluting bead",
    "bead": "drug-eluting bead",
    "deb-tace": "drug-eluting bead",
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
        excluded: named negatively; never also in `wanted`.
    """

    wanted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def ruled_out(self) -> tuple[str, ...]:
        """The excluded agents, and what carries them.

        The beads are loaded with doxorubicin: a goal that excludes the drug excludes them too, unless it asks for them.
        """
        if "Doxorubicin" in self.excluded and "LC beads" not in self.wanted:
            return tuple(dict.fromkeys((*self.excluded, "LC beads")))
        return self.excluded


def parse_goal(goal: str) -> GoalAgents:
    """Return the agents that the goal wants and excludes; see the module for what is understood.

    Raises:
        InputError: it has more than `MOST_GOAL` characters.
    """
    found: dict[str, list[str]] = {"wanted": [], "against": [], "neutral": []}
    require_length(goal, MOST_GOAL, "The goal")
    for sentence in _SENTENCE_END.split(single_blanks(goal.lower()).replace("\u2019", "'")):
        names = list(_names().finditer(sentence))
        # Cues are searched for outside the names, so that part of a name is never taken for a cue.
        starts = [name.start() for name in names]
        cues = []
        for cue in _CUE.finditer(sentence):
            last = bisect.bisect_right(starts, cue.start()) - 1
            if last < 0 or names[last].end() <= cue.start():
                cues.append(cue)
        ends = [cue.end() for cue in cues]
        for name in names:
            behind = _BEHIND.match(sentence, name.end())
            before = bisect.bisect_right(ends, name.start()) - 1
            deciding = behind or (cues[before] if before >= 0 else None)
            polarity = deciding.lastgroup if deciding else None
            found[polarity or "wanted"] += _by_name()[letters(name[0])]
    excluded = tuple(dict.fromkeys(found["against"]))
    return GoalAgents(tuple(n for n in dict.fromkeys(found["wanted"]) if n not in excluded), excluded)


@cache
def _by_name() -> dict[str, tuple[str, ...]]:
    """`letters` of every name and class that is understood, to the agents that it means."""
    groups = {text: members(group) for text, group in _CLASS_WORDS.items()} | classes()
    return {letters(text): names for text, names in groups.items()} | {t: (n,) for t, n in by_letters().items()}


@cache
def _names() -> re.Pattern[str]:
    return pattern_of({*classes(), *_CLASS_WORDS, *(name.lower() for name in written_names())})
