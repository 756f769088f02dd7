""" "Only A" in a treatment goal: A is wanted, and every other agent of its kind (drug or embolic) is ruled out.

An "only" belongs to the agents right behind it, or right before it where it ends their part of the sentence. One that
stands with a dose, a number, a place, a finding or a condition says something else and rules nothing out. Where it may
belong to more than one of them, or is only a preference, it is asked about.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from MeWMLib.core.protocol import DRUG, EMBOLIC, agent
from MeWMLib.policy.agent_names import offered
from MeWMLib.policy.goal_found import Reading
from MeWMLib.policy.goal_polarity import ALL_BUT, PERMIT, WISH
from MeWMLib.policy.goal_sentences import NO_ELSE, NO_OTHER, Group, Sentence
from MeWMLib.policy.goal_words import AGENT, DOSE, MARK, NUMBER, STRONG, WEAK, Token, counted

#: Words that leave nothing but the agents beside them.
ONLY = set(
    "only|just|solely|exclusively|merely|alone|nothing but|nothing else than|nothing other than|no other than|"
    "nur|nur noch|allein|alleine|ausschliesslich|lediglich|bloss|einzig|nichts als|nichts anderes als|"
    "seulement|seul|seule|uniquement|exclusivement|rien que|rien d'autre que|"
    "solo|sola|solamente|unicamente|exclusivamente|nada mas que|soltanto|esclusivamente|da solo|da sola|"
    "nient'altro che|somente|sozinha|sozinho|\u53ea|\u4ec5|\u53ea\u80fd|\u5355\u7528".split("|")
)
#: They say the same of drugs alone.
LONE = set(
    "monotherapy|as monotherapy|as a monotherapy|as single agent|as a single agent|single-agent|single agent|"
    "monotherapie|als monotherapie|en monotherapie|monoterapia|en monoterapia|"
    "in monoterapia|em monoterapia|\u5355\u836f".split("|")
)
_OTHERS = set(
    "other|further|additional|anderes|andere|anderen|weiteres|weitere|weiteren|autre|autres|otro|otra|otros|otras|"
    "altro|altra|altri|altre|outro|outra|outros|outras|\u5176\u4ed6|\u5176\u5b83".split("|")
)
#: Behind a negation these stand for all agents but the one excepted.
_REST = set("else|anything|nichts|rien|nada|niente|nulla|\u836f\u7269|\u836f|\u5176".split("|"))
#: Beside an "only" they make a preference of it.
_SOFT = set(
    "if possible|where possible|whenever possible|if available|wenn moglich|falls moglich|si possible|si es posible|"
    "se possibile|se possivel|preferably|ideally|am liebsten|de preference|preferiblemente|preferibilmente|"
    "de preferencia|preferencialmente".split("|")
)
#: "just use A" may mean no more than "simply use A".
_SIMPLY = {"just", "juste"}
#: Plain words that name what the agents are, and those of the time, take nothing from an "only".
_KINDS = set(
    "drug|drugs|agent|agents|embolic|embolics|drug of|medikament|medicament|farmaco|medicamento|agente".split("|")
)
_TIMES = set(
    "today|now|this time|for this session|in this session|heute|jetzt|aujourd'hui|maintenant|hoy|ahora|oggi|adesso|"
    "hoje|agora|\u672c\u6b21|\u4eca\u5929|\u73b0\u5728".split("|")
)
_FOR_WHOM = set("in this patient|for this patient|for him|for her|thank you|thanks".split("|"))
_BESIDE = ONLY | LONE
_TOLD = {"history", "adverse", "failed", "doubt"}
_CLOSING = (WEAK, STRONG, "contrast", "conn")
_LED = ("aux", "wish", "wish_after", "after_prep", "with", MARK)
_PLURAL = {DRUG: "drugs", EMBOLIC: "embolics"}


@dataclass(frozen=True)
class _Only:
    """An "only" and the agents that it surely or perhaps speaks of.

    Attributes:
        group: of the agents.
        first, last: places in its members of those that it stands with.
        sure: False where it may say something else.
        leads: it stands before them.
        shown: the tokens at its ends.
        kinds: drugs, embolics or both.
    """

    group: _Agents
    first: int
    last: int
    sure: bool
    leads: bool
    shown: tuple[Token, Token]
    kinds: tuple[str, ...]


def take_only(sentence: Sentence, found: Reading) -> None:
    """Rule out what "only A" leaves no room for; what is not clear is asked, and excludes nothing until then.

    Args:
        sentence: its groups are judged and taken.
        found: what is ruled out and asked.
    """
    view = _View(sentence.tokens)
    for only in _only_of(sentence, view):
        group, first, last = only.group, only.first, only.last
        wished = group.are(WISH, first, last)
        kinds = [kind for kind in only.kinds if group.holds(kind, first, last)]
        if group.are(PERMIT, first, last) or (wished and not only.sure):
            _ask(only, kinds, found)
        if not wished or not only.sure:
            continue
        # what a comma alone parts from them is kept, and asked about where it is of the other kind
        beyond = (last + 1, len(group.members) - 1) if only.leads else (0, first - 1)
        _ask(only, [kind for kind in only.kinds if kind not in kinds and group.holds(kind, *beyond)], found)
        for kind in kinds:
            found.closed[kind] = None
            rule_out_others(kind, group.wished, found)
    for place, token in enumerate(sentence.tokens):
        if token.text == NO_OTHER and not sentence.question and not view.has(place, _TOLD):
            found.no_other[token.value] = found.shown([token])


def is_not_alone(group: Group) -> bool:
    """ "do not use A alone", "not only A": what is ruled out may be no more than that A is given without another."""
    behind = next((t.text for t in group.post if t.kind not in (MARK, DOSE, "aux")), "")
    negated = next((n for n, t in enumerate(group.pre) if t.kind == "neg"), len(group.pre))
    return behind in ONLY | LONE or any(t.text in ONLY | LONE for t in group.pre[negated:])


def is_all_that_is_left(group: Group, sentence: Sentence) -> bool:
    """ "apart from A, no other drug" leaves A, where "apart from A, all drugs" rules it out."""
    excepted = [t for t in group.pre if t.kind == "except" and t.text not in ALL_BUT]
    lead = bool(excepted) and all(t.start >= excepted[0].start for t in sentence.tokens if t.kind not in _LED)
    if not lead:
        return False
    behind = [t for t in sentence.tokens if t.start > group.members[-1].start]
    denied = next((n for n, t in enumerate(behind) if t.kind in ("neg", "avoid")), len(behind))
    return any(t.text == NO_OTHER for t in behind) or any(
        counted(t.text) or t.text in _KINDS | _OTHERS | _REST for t in behind[denied : denied + 4]
    )


def rule_out_others(kind: str, kept: Collection[str], found: Reading) -> None:
    """Exclude all agents of a kind but these."""
    found.excluded |= dict.fromkeys(name for name in offered(kind) if name not in kept)


def settle_only(found: Reading) -> None:
    """Once the whole goal is read: "use A, no other drug" keeps what is wanted of that kind, and answers questions."""
    for question, kind in found.open_only.items():
        if not {kind, "agents"} & {*found.no_other, *found.closed}:
            found.ask(question)
    for kind, shown in found.no_other.items():
        kinds = (DRUG, EMBOLIC) if kind == "agents" else (kind,)
        wanted = [name for name in found.wanted if agent(name).kind in kinds]
        for one in sorted({agent(name).kind for name in wanted}):
            rule_out_others(one, wanted, found)
        if not wanted:
            found.ask(f"“{shown}”: no other than which? Nothing of that kind is wanted, and nothing is ruled out by it")


def join_no_other(tokens: Sequence[Token]) -> list[Token]:
    """The words of a goal, with "no other drug" as one word, which rules out nothing that is named.

    Its value is `DRUG`, `EMBOLIC` or "agents".
    """
    found, place, closes = list[Token](), 0, _View(tokens).closes
    while place < len(tokens):
        three = tokens[place : place + 3]
        kind = counted(three[2].text) if len(three) == 3 else ""
        others = three[0].kind == "neg" and kind and three[1].text in _OTHERS
        if others and closes[place + 3]:
            value = {"drugs": DRUG, "embolics": EMBOLIC}.get(kind, "agents")
            found.append(Token("benign", NO_OTHER, three[0].start, three[2].end, value))
            place += 3
        else:
            found.append(tokens[place])
            place += 1
    return found


def _only_of(sentence: Sentence, view: _View) -> Iterator[_Only]:
    tokens = sentence.tokens
    where: dict[int, tuple[_Agents, int]] = {}
    for group in map(_Agents, sentence.groups):
        where |= {id(member): (group, n) for n, member in enumerate(group.members)}
    for place, token in enumerate(tokens):
        if token.text not in ONLY | LONE | NO_ELSE:
            continue
        sure = not view.has(place, _SOFT)
        kinds = (DRUG,) if token.text in LONE else (DRUG, EMBOLIC)
        ahead = view.ahead[place + 1]
        before = (view.before_else if token.text in NO_ELSE else view.before)[place]
        if ahead is not None:
            group, first = where[id(tokens[ahead])]
            cut = bisect.bisect_right(group.loose, first)
            last = (group.loose[cut] if cut < len(group.loose) else len(group.members)) - 1
            # "A only with B" may be "only A, with B" or "A, with B alone"
            direct = place > 0 and tokens[place - 1].kind == AGENT
            simply = token.text in _SIMPLY and tokens[place + 1].kind == "wish"
            yield _Only(group, first, last, sure and not direct and not simply, True, (token, tokens[ahead]), kinds)
        elif before is not None and view.closes[place + 1]:
            group, last = where[id(tokens[before])]
            cut = bisect.bisect_right(group.loose, last)
            first = group.loose[cut - 1] if cut else 0
            # "A 50 mg only" may speak of the dose, "A only today" of the day
            sure &= tokens[place - 1].kind not in (DOSE, NUMBER)
            sure &= place + 1 == len(tokens) or tokens[place + 1].text not in _TIMES
            yield _Only(group, first, last, sure, False, (tokens[before], token), kinds)


class _Agents:
    """A group as an "only" asks of it, many times without going through it again.

    Attributes:
        members: of the group.
        loose: its loose places, in order.
        wished: names of all that is wished in it.
    """

    def __init__(self, group: Group) -> None:
        self.members, self.loose = group.members, sorted(group.loose)
        self.wished, self._kinds = set[str](), {DRUG: list[int](), EMBOLIC: list[int]()}
        self._others: dict[str, list[int]] = {
            asked: [n for n, polarity in enumerate(group.polarities) if polarity != asked] for asked in (WISH, PERMIT)
        }
        for n, (member, polarity) in enumerate(zip(group.members, group.polarities, strict=True)):
            for name in member.value if member.kind == AGENT else ():
                self._kinds[agent(name).kind].append(n)
                if polarity == WISH:
                    self.wished.add(name)

    def holds(self, kind: str, first: int, last: int) -> bool:
        """True if a drug or an embolic is among these members."""
        return _any_within(self._kinds[kind], first, last)

    def are(self, polarity: str, first: int, last: int) -> bool:
        """True if all of these members have this polarity, `WISH` or `PERMIT`."""
        return not _any_within(self._others[polarity], first, last)


def _any_within(places: Sequence[int], first: int, last: int) -> bool:
    return bisect.bisect_left(places, first) < bisect.bisect_right(places, last)


class _View:
    """A sentence as an "only" at each place sees it, in one pass each way.

    Attributes:
        ahead: from each place on, where the agent stands that an "only" before it leads to; None for none.
        before: before each place, where the agent stands that an "only" there follows; `before_else` over a comma too.
        closes: nothing more is said from there on that an "only" before it could belong to.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        count = len(tokens)
        self.ahead: list[int | None] = [None] * (count + 1)
        self.closes = [True] * (count + 1)
        self.before, self.before_else = list[int | None](), list[int | None]()
        for n in range(count - 1, -1, -1):
            token = tokens[n]
            if token.kind == AGENT:
                self.ahead[n] = n
            elif token.kind in _LED or token.text in _BESIDE | _KINDS:
                self.ahead[n] = self.ahead[n + 1]
            self.closes[n] = token.kind in _CLOSING or (self.closes[n + 1] and _adds_nothing(token))
        for n in range(count):
            former, token = n - 1, tokens[n - 1]
            plain = n and (token.kind in (DOSE, MARK) or token.text in _BESIDE)
            over = plain or (n and token.kind in (WEAK, "conn"))
            named = former if n and token.kind == AGENT else None
            self.before.append(self.before[former] if plain else named)
            self.before_else.append(self.before_else[former] if over else named)
        self._parts, self._said = list[int](), [set[str]()]
        for token in tokens:
            if token.kind == WEAK:
                self._said.append(set())
            self._parts.append(len(self._said) - 1)
            self._said[-1] |= {token.kind, token.text}

    def has(self, place: int, said: set[str]) -> bool:
        """True if one of these words, or kinds of words, stands between the commas around a place."""
        return bool(self._said[self._parts[place]] & said)


def _adds_nothing(token: Token) -> bool:
    return token.kind in (MARK, "aux", "wish_after") or token.text in _BESIDE | _TIMES | _FOR_WHOM | _SOFT


def _ask(only: _Only, kinds: Sequence[str], found: Reading) -> None:
    for kind in kinds:
        question = (
            f"“{found.shown(only.shown)}”: are all other {_PLURAL[kind]} ruled out? They are not until that is "
            f"answered: add “no other {kind}” if they are"
        )
        found.open_only[question] = kind
