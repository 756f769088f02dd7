"""A treatment goal as sentences: groups of agents, substances or statements, and the words between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from MeWMLib.policy import goal_words as words
from MeWMLib.policy.goal_words import AGENT, DOSE, FACT, MARK, SUBSTANCE, UNKNOWN, WEAK, Token

SKIPPED = (MARK, "aux", "benign", DOSE, "conn", "then")
OR = {"or", "nor", "oder", "ou", "o", "u", "oppure", "ni", "nem", "noch", "\u6216"}
#: An adverse phrase that ends so is about what follows.
_LEADS_ON = {"to", "tolerate", "tolera", "tolere", "on", "with", "of", "from", "under", "after", "auf", "von", "de"}
#: Verbs that may stand behind what they are about.
_AT_THE_END = set(
    "wegzulassen auszulassen auszuschliessen abzusetzen verzichten vermeiden "
    "ausschliessen weglassen absetzen evitar evitare eviter exclure".split()
)
#: What stands behind "with" then is not ruled out.
_REPLACING = {"replace", "replacing", "substitute", "substituting"}
#: Said of an allergy or a finding, these deny it; said of an agent, they exclude it.
RULED_OUT = set(
    "ruled out|excluded|ausgeschlossen|exclu|exclue|excluido|excluida|escluso|esclusa|refuted|disproved|disproven|"
    "widerlegt|entkraftet|ecarte|ecartee|infirme|infirmee|descartado|descartada|desmentida|smentita|smentito|"
    "\u6392\u9664".split("|")
)
PLEASE = {"please", "bitte", "svp"}
#: Behind an agent, a comma or "and" they say it too.
NO_ELSE = set("nothing else|no others|nichts anderes|rien d'autre|nada mas|nient'altro".split("|"))
#: What "no other drug" becomes.
NO_OTHER = "no other of a kind"
#: Words after a negation which show that it refers to what comes before it.
_ENDS = ("follow", "conn", "than", "except", "with", "after_prep", "neg", "avoid")


@dataclass
class Group:
    """Agents, substances or statements that are listed together.

    Attributes:
        members: their tokens.
        cuts: places in `members` before which stands a comma.
        then: places before which stands a word of sequence.
        loose: places before which stands no more than a comma, a dash, a bracket or nothing, and that no "and" or "or"
            closes to a list: what is said before may end there. Each with "comma" or "loose".
        pre, post: the words before, and those right behind.
        shared: the words behind it lead to the next group, without a comma.
        worded: its members are joined by "or".
        follows_break: a comma or the beginning of the sentence stands before its words.
        lone: nothing but the group and plain words stands in the sentence, and "with" joins it.
        condition: the words of an exception or a condition under which it is ruled out.
        polarities: of each member; set by `judge`.
    """

    members: list[Token]
    cuts: list[int] = field(default_factory=list)
    then: list[int] = field(default_factory=list)
    loose: dict[int, str] = field(default_factory=dict)
    pre: list[Token] = field(default_factory=list)
    post: list[Token] = field(default_factory=list)
    shared: bool = False
    lone: bool = False
    worded: bool = True
    follows_break: bool = True
    condition: list[Token] = field(default_factory=list)
    polarities: list[str] = field(default_factory=list)


@dataclass
class Sentence:
    """A sentence: its groups, and the words that belong to none of them, segment by segment.

    Attributes:
        orphans: segments without a group, each with the number of groups before it.
        question: it ends with a question mark.
        contrasted: a word such as "but" parts it from the sentence before.
    """

    tokens: list[Token]
    groups: list[Group]
    orphans: list[tuple[int, list[Token]]]
    question: bool = False
    contrasted: bool = False


def sentences(tokens: Sequence[Token]) -> list[Sentence]:
    """Cut a goal into sentences; a semicolon and words such as "but" cut too."""
    parts: list[list[Token]] = [[]]
    asked, whole, contrasted = set[int](), [0], set[int]()
    for token in tokens:
        if token.kind == words.QUESTION:
            asked.update(whole)
        if token.kind in (words.STRONG, words.QUESTION, "contrast"):
            if token.kind != "contrast" and token.text != ";":
                whole = []
            if token.kind == "contrast":
                contrasted.add(len(parts))
            parts.append([])
            whole.append(len(parts) - 1)
        else:
            parts[-1].append(token)
    return [_sentence(part, n in asked, n in contrasted) for n, part in enumerate(parts) if part]


def _sentence(tokens: list[Token], question: bool, contrasted: bool) -> Sentence:
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
                # "renal failure: avoid A" rules out A and does not deny the failure; "... was ruled out" does
                ahead = before.members[0].kind == FACT and behind.members[0].kind != FACT
                ahead &= bool(first) and first[0].kind not in ("aux", "avoid_after") and first[0].text not in RULED_OUT
                before.post, behind.pre = ([], first) if ahead else _share(first)
                before.shared, behind.follows_break = True, False
                continue
            before.post = first
        if behind is not None:
            behind.pre = segments.pop()
        orphans += [(number, segment) for segment in segments if segment]
    _mark_lone(tokens, groups)
    return Sentence(tokens, groups, orphans, question, contrasted)


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
    before = [t.text for t in tokens[max(0, place - 3) : place] if t.kind not in ("aux", "benign")]
    replaced = bool(before) and before[-1] in _REPLACING
    end, junctions = place + 1, list[str]()
    while True:
        ahead, comma, then, link = end, False, False, True
        while ahead < len(tokens) and (tokens[ahead].kind in (*SKIPPED, WEAK, "with") or tokens[ahead].text == "in"):
            kind = tokens[ahead].kind
            # "without A, with B" says two things
            link &= not (kind == "with" and (comma or replaced))
            comma |= kind == WEAK
            # "only A and no other embolic, B preferred"
            link &= tokens[ahead].text not in {*NO_ELSE, NO_OTHER}
            then |= kind == "then"
            # an article or an auxiliary verb of the next clause does not join two agents without "and" or a comma
            link &= kind != "aux" or comma or tokens[ahead - 1].kind in ("conn", "with", "then")
            ahead += 1
        joins = ahead < len(tokens) and (
            tokens[ahead].kind == FACT if fact else tokens[ahead].kind in (AGENT, SUBSTANCE)
        )
        if not joins or not link:
            break
        by_or = any(t.text in OR for t in tokens[end:ahead])
        # "no ascites, encephalopathy or bleeding" denies all three
        group.worded = by_or if fact else group.worded and by_or
        if comma:
            group.cuts.append(len(group.members))
        if then:
            group.then.append(len(group.members))
        junctions.append(_junction(tokens, end, ahead))
        group.members.append(tokens[ahead])
        end = ahead + 1
    while end < len(tokens) and tokens[end].kind == DOSE:
        end += 1
    group.loose = {} if fact else _loose(group.members, junctions)
    return group, end


def _junction(tokens: list[Token], end: int, ahead: int) -> str:
    """How two members are joined: "and" (or the like), "comma", or "loose" by a dash, a bracket or nothing."""
    before, behind, gap = tokens[end - 1], tokens[ahead], tokens[end:ahead]
    if any(t.kind in ("conn", "with", "then") or t.text in ("\u3001", "in") for t in gap):
        return "and"
    if gap and all(t.kind == MARK for t in gap) and gap[0].start == before.end and gap[-1].end == behind.start:
        return "and"  # "cisplatin-lipiodol"
    if not gap and any("beads" in str(t.value) for t in (before, behind)):
        return "and"  # "doxorubicin beads" are one thing
    commas = [t for t in gap if t.kind == WEAK]
    return "comma" if commas and all(t.text in (",", "\uff0c") for t in commas) else "loose"


def _loose(members: list[Token], junctions: list[str]) -> dict[int, str]:
    """The places at which a list may end: "A, B and C" is one list, "A, B" may be two things, "A or B, C" is."""
    # from behind: where the next one stands that is more than a comma
    closings = [len(junctions)] * (len(junctions) + 1)
    for n in range(len(junctions) - 1, -1, -1):
        closings[n] = n if junctions[n] != "comma" else closings[n + 1]
    found, begin, last_and, named = dict[int, str](), 0, -1, set[str]()
    for n, junction in enumerate(junctions):
        if members[n].kind == AGENT:
            named.update(members[n].value)
        if junction == "and":
            last_and = n
            continue
        closing = closings[n]
        listed = closing < len(junctions) and junctions[closing] == "and"
        if junction == "comma" and listed and last_and < begin:
            continue
        member = members[n + 1]
        if member.kind != AGENT or set(member.value) <= named:
            continue  # "no platinum (cisplatin)"; an allergy to a substance is no wish
        found[n + 1] = junction
        begin = n + 1
    return found


def _share(gap: list[Token]) -> tuple[list[Token], list[Token]]:
    """Words between two groups without a comma: those that speak of the first, and those that speak of the second.

    Words that may speak of both are given to both: then neither is taken for more than it is.
    """
    kinds = [t.kind for t in gap]
    if kinds[:1] == ["conn"] or (kinds[:2] == ["neg", "after_prep"] and gap[0].text in OR):
        return [], gap  # "allergic neither to A nor to B"
    unclear, colon = 0, max((n for n, t in enumerate(gap) if t.text == ":"), default=-1)
    behind = _next_words(kinds)
    said_of_it, close = gap[0].text == ":" if gap else False, True
    for n, kind in enumerate(kinds):
        following = kinds[behind[n]] if behind[n] < len(kinds) else ""
        if kind in ("adverse", "failed"):
            led_on = gap[n].text.rpartition(" ")[2] in _LEADS_ON or colon >= n
            if led_on or following in ("after_prep", "with"):
                return gap[: n + 1] if said_of_it or close else gap[:unclear], gap
            return gap[: n + 1], gap[n + 1 :]
        if kind in ("permit", "avoid_after") or (kind == "wish_after" and gap[n].text not in PLEASE):
            return gap[: n + 1], gap[n + 1 :]
        if kind == "neg" and not following and gap[0].text == ":":
            return gap[: n + 1], gap
        if kind == "neg" and following and (said_of_it or following in (*_ENDS, UNKNOWN, "clinical")):
            end = next((m for m in range(n + 1, len(kinds)) if kinds[m] == "conn"), len(kinds))
            return gap[:end], gap[end:] or gap
        second = behind[behind[n]] if following else len(kinds)
        if kind == "neg" and following == "wish" and second < len(kinds) and kinds[second] in _ENDS:
            return gap[: n + 1], gap
        if kind == "avoid" and gap[n].text in _AT_THE_END:
            return gap[: n + 1], gap
        if kind == "avoid" and (colon >= n or (following and following != "wish")):
            return gap[: n + 1], gap
        if kind in (UNKNOWN, "clinical", "history"):
            unclear = n + 1
        elif kind not in (*SKIPPED, "neg"):
            break
        said_of_it, close = said_of_it or kind == "aux", close and kind == MARK
    return gap[:unclear], gap


def _next_words(kinds: Sequence[str]) -> list[int]:
    """For each word the place of the next that is more than an auxiliary or plain one; `len(kinds)` where none is."""
    found, place = [0] * len(kinds), len(kinds)
    for n in range(len(kinds) - 1, -1, -1):
        found[n] = place
        place = place if kinds[n] in ("aux", "benign", MARK) else n
    return found


def _mark_lone(tokens: list[Token], groups: list[Group]) -> None:
    plain = all(t.kind in (AGENT, DOSE, MARK, "with", "conn", "benign", WEAK) for t in tokens)
    if len(groups) == 1 and plain and any(t.kind == "with" for t in tokens):
        groups[0].lone = len(groups[0].members) > 1
