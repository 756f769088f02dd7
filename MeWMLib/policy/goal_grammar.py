"""The grammar of treatment goals: which words of a sentence speak about which agents, and what they say.

A sentence is a row of *groups* (agents, substances or statements that are listed together) with words between them. The
words before a group and those right behind it give its polarity. Whatever is not clear has the polarity `DOUBT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from MeWMLib.policy import goal_words as words
from MeWMLib.policy.goal_openings import NEVER, VERB_NEG
from MeWMLib.policy.goal_words import AGENT, DOSE, FACT, MARK, SUBSTANCE, UNKNOWN, WEAK, Token

WISH, EXCLUDE, ADVERSE, DENIED = "wish", "exclude", "adverse", "denied"
HISTORY, PERMIT, DOUBT, BARE, FREED, LIMITED = "history", "permit", "doubt", "bare", "freed", "limited"
#: Behind a group, words that leave the meaning of that group open.
_UNCLEAR = "unclear"
_SKIPPED = (MARK, "aux", "benign", DOSE, "conn", "then")
#: Two words that are one negation in French, Spanish and Italian.
_NEG_FIRST = {"ne", "n'", "non", "no"}
_NEG_SECOND = set("pas|pas de|pas d'|jamais|mai|nunca|jamas|ningun|ninguna|tampoco|nessun|nessuna|aucun|aucune".split("|"))
#: These compare only where a preference was spoken of; else they mean "as" or "that".
_OPEN_THAN = {"als", "que", "che", "over", "than"}
_OR = {"or", "nor", "oder", "ou", "o", "u", "oppure", "ni", "noch", "\u6216"}
#: An adverse phrase that ends so is about what follows.
_LEADS_ON = {"to", "on", "with", "of", "from", "under", "after", "auf", "von", "de"}
_PLEASE = {"please", "bitte", "svp"}
#: Exceptions that stand for themselves; the others may also free an agent from an exclusion before them.
_ALL_BUT = set(
    "but not|anything but|everything but|all but|anything except|everything except|anything other than|nur nicht|"
    "alles ausser|tout sauf|todo menos|todo excepto|tutto tranne|anything else than".split("|")
)
_INFINITIVE = {"to", "zu", "de", "di", "d'", "a", "of", "from", "by"}


@dataclass
class Group:
    """Agents, substances or statements that are listed together.

    Attributes:
        members: their tokens.
        cuts: places in `members` before which stands a comma.
        then: places before which stands a word of sequence.
        pre, post: the words before, and those right behind.
        shared: the words behind it lead to the next group, without a comma.
        worded: its members are joined by "or".
        follows_break: a comma or the beginning of the sentence stands before its words.
        lone: nothing but the group and plain words stands in the sentence, and "with" joins it.
        polarities: of each member; set by `judge`.
    """

    members: list[Token]
    cuts: list[int] = field(default_factory=list)
    then: list[int] = field(default_factory=list)
    pre: list[Token] = field(default_factory=list)
    post: list[Token] = field(default_factory=list)
    shared: bool = False
    lone: bool = False
    worded: bool = True
    follows_break: bool = True
    polarities: list[str] = field(default_factory=list)


@dataclass
class Sentence:
    """A sentence: its groups, and the words that belong to none of them, segment by segment.

    Attributes:
        orphans: segments without a group, each with the number of groups before it.
        question: it ends with a question mark.
    """

    tokens: list[Token]
    groups: list[Group]
    orphans: list[tuple[int, list[Token]]]
    question: bool = False


def sentences(tokens: Sequence[Token]) -> list[Sentence]:
    """Cut a goal into sentences; a semicolon and words such as "but" cut too."""
    parts: list[list[Token]] = [[]]
    asked, whole = set[int](), [0]
    for token in tokens:
        if token.kind == words.QUESTION:
            asked.update(whole)
        if token.kind in (words.STRONG, words.QUESTION, "contrast"):
            if token.kind != "contrast" and token.text != ";":
                whole = []
            parts.append([])
            whole.append(len(parts) - 1)
        else:
            parts[-1].append(token)
    return [_sentence(part, n in asked) for n, part in enumerate(parts) if part]


def _sentence(tokens: list[Token], question: bool) -> Sentence:
    groups, gaps = list[Group](), list[list[Token]]([[]])
    place = 0
    while place < len(tokens):
        if tokens[place].kind in (AGENT, SUBSTANCE, FACT):
            group, place = _group(tokens, place)
            groups.append(group)
            gaps.append([])
        else:
            gaps[-1].append(tokens[place])
            place += 1
    orphans: list[tuple[int, list[Token]]] = []
    for number, gap in enumerate(gaps):
        segments = _split(gap)
        before = groups[number - 1] if number else None
        behind = groups[number] if number < len(groups) else None
        if before is not None:
            first = segments.pop(0)
            if behind is not None and not segments:
                before.post, behind.pre = _share(first)
                before.shared, behind.follows_break = True, False
                continue
            before.post = first
        if behind is not None:
            behind.pre = segments.pop()
        orphans += [(number, segment) for segment in segments if segment]
    _mark_lone(tokens, groups)
    return Sentence(tokens, groups, orphans, question)


def _split(gap: list[Token]) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token in gap:
        if token.kind == WEAK:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _group(tokens: list[Token], place: int) -> tuple[Group, int]:
    """The group that starts here, and where it ends."""
    group = Group([tokens[place]])
    fact = tokens[place].kind == FACT
    end = place + 1
    while True:
        ahead, comma, then, link = end, False, False, True
        while ahead < len(tokens) and (tokens[ahead].kind in (*_SKIPPED, WEAK, "with") or tokens[ahead].text == "in"):
            kind = tokens[ahead].kind
            # "without A, with B" says two things
            link &= not (kind == "with" and comma)
            comma |= kind == WEAK
            then |= kind == "then"
            # an article or an auxiliary verb of the next clause does not join two agents without "and" or a comma
            link &= kind != "aux" or comma or tokens[ahead - 1].kind in ("conn", "with", "then")
            ahead += 1
        joins = ahead < len(tokens) and (tokens[ahead].kind == FACT if fact else tokens[ahead].kind in (AGENT, SUBSTANCE))
        if not joins or not link:
            break
        group.worded &= any(t.text in _OR for t in tokens[end:ahead])
        if comma:
            group.cuts.append(len(group.members))
        if then:
            group.then.append(len(group.members))
        group.members.append(tokens[ahead])
        end = ahead + 1
    while end < len(tokens) and tokens[end].kind == DOSE:
        end += 1
    return group, end


def _share(gap: list[Token]) -> tuple[list[Token], list[Token]]:
    """Words between two groups without a comma: those that speak of the first, and those that speak of the second.

    Words that may speak of both are given to both: then neither is taken for more than it is.
    """
    kinds = [t.kind for t in gap]
    if kinds[:1] == ["conn"]:
        return [], gap
    unclear = 0
    for n, kind in enumerate(kinds):
        rest = [k for k in kinds[n + 1 :] if k not in ("aux", "benign", MARK)]
        said_of_it = any(t.kind == "aux" for t in gap[:n]) or (n and gap[0].text == ":")
        if kind in ("adverse", "failed"):
            led_on = gap[n].text.rpartition(" ")[2] in _LEADS_ON or any(t.text == ":" for t in gap[n:])
            if led_on or (rest and rest[0] in ("after_prep", "with")):
                close = said_of_it or all(k == MARK for k in kinds[:n])
                return gap[: n + 1] if close else gap[:unclear], gap
            return gap[: n + 1], gap[n + 1 :]
        if kind in ("permit", "avoid_after") or (kind == "wish_after" and gap[n].text not in _PLEASE):
            return gap[: n + 1], gap[n + 1 :]
        ends = ("follow", "conn", "than", "except", "with", "after_prep", "neg", "avoid")
        if kind == "neg" and not rest and gap[0].text == ":":
            return gap[: n + 1], gap
        if kind == "neg" and rest and (said_of_it or rest[0] in (*ends, UNKNOWN, "clinical")):
            end = next((m for m in range(n + 1, len(kinds)) if kinds[m] == "conn"), len(kinds))
            return gap[:end], gap[end:] or gap
        if kind == "neg" and rest[:1] == ["wish"] and rest[1:2] and rest[1] in ends:
            return gap[: n + 1], gap
        if kind == "avoid" and (any(t.text == ":" for t in gap[n:]) or (rest and rest[0] != "wish")):
            return gap[: n + 1], gap
        if kind in (UNKNOWN, "clinical", "history"):
            unclear = n + 1
        elif kind not in (*_SKIPPED, "neg"):
            break
    return gap[:unclear], gap


def _mark_lone(tokens: list[Token], groups: list[Group]) -> None:
    plain = all(t.kind in (AGENT, DOSE, MARK, "with", "conn", "benign", WEAK) for t in tokens)
    if len(groups) == 1 and plain and any(t.kind == "with" for t in tokens):
        groups[0].lone = len(groups[0].members) > 1


def judge(group: Group, spoken: bool, previous: Group | None) -> None:
    """Set the polarity of each member of a group.

    Args:
        group: of a sentence.
        spoken: a word of preference stands earlier in the sentence.
        previous: the group before it in the sentence.
    """
    before, behind = _before(group, spoken, previous), _behind(group)
    count = len(group.members)
    cut = max(group.cuts) if group.cuts else None
    if before == HISTORY and any(t.kind == "clinical" for t in group.post):
        behind = _UNCLEAR
    if before == BARE and behind in (None, _UNCLEAR):
        found = [WISH if group.lone and behind is None else BARE] * count
    elif behind is None or (behind == PERMIT and before == WISH):
        found = [before] * count
    elif behind == _UNCLEAR:
        # what follows the last one is not understood: a wish may have ended before it
        found = [before] * (count - 1) + [DOUBT if before in (WISH, PERMIT, HISTORY) else before]
    elif before == BARE:
        found = [behind] * count
    elif cut is not None:
        found = [before] * cut + [DOUBT if behind == WISH and _only_please(group) else behind] * (count - cut)
    elif before == EXCLUDE and behind == ADVERSE and _denies(group):
        found = [DENIED] * count
    elif ADVERSE in (before, behind) or EXCLUDE in (before, behind):
        sure = EXCLUDE if before in (ADVERSE, EXCLUDE) else DOUBT
        found = [sure] * (count - 1) + [ADVERSE if ADVERSE in (before, behind) else EXCLUDE]
        if DENIED in (before, behind):
            found = [DOUBT] * count
    elif before == behind:
        found = [before] * count
    else:
        found = [DOUBT] * count
    for place in group.then:
        if found[place - 1] in (EXCLUDE, ADVERSE) and found[place] == found[place - 1]:
            found[place:] = [DOUBT] * (count - place)
    group.polarities = found


def _denies(group: Group) -> bool:
    """ "no A allergy": a noun's negation before, and the allergy right behind."""
    cues = [t for t in group.pre if t.kind not in (*_SKIPPED, "after_prep")]
    nouns = all(t.kind == "neg" and t.text not in VERB_NEG | NEVER for t in cues)
    behind = [t.kind for t in group.post if t.kind not in ("benign", MARK)]
    worded = group.worded and all(t.text != ":" for t in group.post)
    return nouns and worded and behind[:1] == ["adverse"]


def _only_please(group: Group) -> bool:
    words_after = {t.text for t in group.post if t.kind == "wish_after"}
    return bool(words_after) and words_after <= _PLEASE


def _before(group: Group, spoken: bool, previous: Group | None) -> str:
    """The polarity that the words before a group give it."""
    tokens = [t for t in group.pre if t.kind not in (MARK, DOSE)]
    colon = [n for n, t in enumerate(group.pre) if t.kind == MARK and t.text == ":"]
    if colon and not any(t.kind in ("neg", "avoid", "adverse", "doubt", "except") for t in group.pre[: colon[-1]]):
        # a heading ("Tumour control: use ...") says nothing about what follows, unless it is itself a cue
        kept = group.pre[colon[-1] + 1 :]
        if any(t.kind not in _SKIPPED for t in kept):
            tokens = [t for t in kept if t.kind not in (MARK, DOSE)]
    kinds = [t.kind for t in tokens]
    negs = _negations(tokens)
    if "limit" in kinds:
        negs += sum(t.kind == "limit" and t.text.startswith(("no", "never", "pas", "nicht", "non")) for t in tokens)
    if "except" in kinds:
        alone = any(t.text in _ALL_BUT for t in tokens if t.kind == "except")
        if previous is not None and previous.polarities[-1:] == [EXCLUDE] and not alone:
            excluded = {name for member in previous.members for name in member.value}
            freed = all(m.kind == AGENT and excluded > set(m.value) for m in group.members)
            return FREED if freed and (not group.follows_break or len(kinds) == 1) else DOUBT
        return DOUBT if negs or "avoid" in kinds or "adverse" in kinds else EXCLUDE
    if "adverse" in kinds:
        place = kinds.index("adverse")
        earlier = _negations(tokens[:place])
        if earlier == 0 and negs and _negations(tokens[place:]):
            return EXCLUDE
        if earlier > 1 or (earlier and "avoid" in kinds[:place]):
            return DOUBT
        if any(t.text in VERB_NEG | NEVER for t in tokens[:place]):
            return DOUBT
        return DENIED if earlier else DOUBT if "doubt" in kinds[:place] else ADVERSE
    if "doubt" in kinds or "failed" in kinds:
        return DOUBT
    if "than" in kinds:
        text = next(t.text for t in tokens if t.kind == "than")
        if text in _OPEN_THAN and not (spoken or "wish" in kinds):
            return DOUBT if text in ("over", "than") else BARE
        return DOUBT if negs else EXCLUDE
    if "avoid" in kinds or "avoid_after" in kinds:
        return DOUBT if negs else EXCLUDE
    if "double" in kinds:
        direct = [k for k in kinds if k not in ("aux", "benign")][-1] == "double"
        return WISH if direct and not negs and UNKNOWN not in kinds else DOUBT
    if negs:
        if negs > 1:
            return DOUBT
        place = next((n for n, t in enumerate(tokens) if t.kind in ("neg", "limit")), 0)
        if previous is not None and previous.polarities[-1:] == [ADVERSE] and kinds[place + 1 : place + 2] == ["after_prep"]:
            return DENIED  # "allergic to A, not to B"
        if UNKNOWN in kinds[place:] and tokens[-1].text in _INFINITIVE:
            return DOUBT  # "not opposed to A"
        return HISTORY if "history" in kinds[place:] else EXCLUDE
    if "history" in kinds:
        return HISTORY
    if "permit" in kinds:
        return PERMIT
    if "wish" in kinds or "wish_after" in kinds:
        return _wish(tokens, kinds, group.follows_break)
    if [t.text for t in tokens] == ["to"] and previous is not None and previous.polarities[-1:] == [WISH]:
        return EXCLUDE if any(t.kind == "wish_after" for t in previous.post) else BARE  # "A preferred to B"
    if "with" in kinds:
        place = kinds.index("with")
        plain = set(kinds[:place]) <= {"benign", "conn", "aux"} and set(kinds[place + 1 :]) <= {"aux"}
        earlier = set(previous.polarities) if previous is not None else set()
        return WISH if plain and group.follows_break and earlier <= {WISH, EXCLUDE} else BARE
    return BARE


def _wish(tokens: list[Token], kinds: list[str], starts: bool) -> str:
    """A wish word governs the group if nothing that is not understood stands between, and it is no mere mention."""
    last = max(n for n, kind in enumerate(kinds) if kind in ("wish", "wish_after"))
    first = next(n for n, kind in enumerate(kinds) if kind in ("wish", "wish_after"))
    if any(kind in (UNKNOWN, "clinical", "follow") for kind in kinds[last + 1 :]):
        return DOUBT
    earlier = [n for n in range(first) if kinds[n] not in ("benign", "conn")]
    noun = tokens[first].text.endswith("ing") or tokens[first].text in ("use of", "gabe von")
    if earlier and tokens[earlier[-1]].text in _INFINITIVE:
        return DOUBT  # "hesitates to use", "to use" after a break
    if noun and any(kinds[n] in (UNKNOWN, "clinical") for n in earlier):
        return DOUBT
    if "clinical" in kinds[:first] and not starts:
        return DOUBT
    return WISH


def _negations(tokens: Sequence[Token]) -> int:
    negs = [t.text for t in tokens if t.kind == "neg"]
    pairs = min(sum(n in _NEG_FIRST for n in negs), sum(n in _NEG_SECOND for n in negs))
    return len(negs) - pairs


def _behind(group: Group) -> str | None:
    """The polarity that the words right behind a group give it; None if they say nothing about it."""
    tokens = [t for t in group.post if t.kind not in (MARK, DOSE)]
    kinds = [t.kind for t in tokens]
    significant = [k for k in kinds if k not in ("aux", "benign", "conn", "then")]
    negs = _negations(tokens)
    if "adverse" in kinds:
        place = kinds.index("adverse")
        earlier = _negations(tokens[:place])
        if set(kinds[place:]) & {"neg", "avoid", "avoid_after"}:
            return DOUBT  # "A allergy was ruled out"
        return ADVERSE if not earlier else DENIED if earlier == 1 else DOUBT
    if "avoid_after" in kinds or "avoid" in kinds:
        return DOUBT if negs else EXCLUDE
    if "failed" in kinds or "doubt" in kinds:
        return DOUBT
    if negs:
        return EXCLUDE if negs == 1 else DOUBT
    if "except" in kinds or "than" in kinds:
        return None
    if not significant:
        return None
    head = significant[0]
    if head in ("follow", "after_prep", "with"):
        return None
    if "history" in kinds:
        return _UNCLEAR if "clinical" in kinds or UNKNOWN in kinds else HISTORY
    if head in ("clinical", UNKNOWN):
        return _UNCLEAR
    if "permit" in kinds:
        return PERMIT
    if head in ("wish_after", "wish"):
        return WISH if all(k not in (UNKNOWN, "clinical") for k in significant[:1]) else DOUBT
    return None
