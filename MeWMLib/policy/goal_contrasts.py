"""Contrasts in a treatment goal: "no A, only B", "allergic to A, B instead", "A no, B yes".

An exclusion or an allergy does not run on into an agent that has a contrast word of its own: that agent begins a part
of its own. What stands beside an exclusion by a comma alone ("no A, B") may be either: see `Group.loose`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from MeWMLib.policy import goal_words as words
from MeWMLib.policy.goal_sentences import OR
from MeWMLib.policy.goal_words import AGENT, DOSE, MARK, SUBSTANCE, WEAK, Token

#: Before an agent they set it against what was ruled out.
LEADS = set(
    "only|just|instead|now|yes|solely|simply|exclusively|merely|nothing but|nothing else than|nothing other than|"
    "nur|nur noch|stattdessen|dafur|jetzt|nun|ja|lediglich|bloss|ausschliesslich|einzig|nichts als|"
    "nichts anderes als|seulement|uniquement|juste|simplement|maintenant|oui|exclusivement|rien que|rien d'autre que|"
    "solo|solamente|unicamente|simplemente|exclusivamente|en su lugar|en cambio|ahora|nada mas que|soltanto|invece|ora|"
    "adesso|al suo posto|semplicemente|esclusivamente|nient'altro che|somente|apenas|simplesmente|em vez disso|"
    "basta|bastaria|reicht|es reicht|genugt|es genugt|suffit|il suffit de|il suffit d'|es suficiente|"
    "em seu lugar|no lugar dela|no lugar dele|no lugar|agora|sim|a la place|sino|sondern|so|mas|\u53ea|\u4ec5|"
    "\u53ea\u80fd|"
    "\u6539\u4e3a|\u6362\u6210|\u6362\u7528|\u6362\u4e3a|\u73b0\u5728|\u5355\u7528".split("|")
)
#: Behind an agent they do.
TAILS = set(
    "only|just|alone|instead|now|yes|enough|is enough|suffices|sufficient|will do|would do|is sufficient|if possible|"
    "where possible|whenever possible|if available|works|in its place|in its stead|in their place|allein|alleine|nur|"
    "stattdessen|dafur|jetzt|ja|reicht|reicht aus|genugt|ausreichend|wenn moglich|falls moglich|gern|gerne|passt|"
    "seulement|uniquement|seul|seule|maintenant|oui|a la place|suffit|suffira|si possible|convient|solo|sola|solamente|"
    "unicamente|en su lugar|en cambio|ahora|si|basta|es suficiente|suficiente|si es posible|bien|soltanto|da solo|"
    "da sola|invece|ora|adesso|al suo posto|sufficiente|e sufficiente|se possibile|somente|apenas|so|sozinha|sozinho|"
    "em vez disso|em seu lugar|no lugar|agora|sim|e suficiente|se possivel|\u5373\u53ef|\u5c31\u884c|"
    "\u5c31\u53ef\u4ee5|"
    "\u8db3\u591f|\u73b0\u5728|\u5355\u836f|\u662f|\u5427|\u5355\u7528|\u4ee3\u66ff".split("|")
)
#: Of those behind, these may as well be said of the exclusion: "no A, B if possible".
_MAY_BE = set(
    "now|if possible|where possible|whenever possible|if available|jetzt|wenn moglich|falls moglich|maintenant|"
    "si possible|ahora|si es posible|ora|adesso|se possibile|agora|se possivel|\u73b0\u5728|\u5427".split("|")
)
#: Permissions that wish where something else was ruled out: "no A, B is fine".
_FINE = set(
    "can be used|may be used|could be used|kann verwendet werden|peut etre utilise|se puede usar|si puo usare|"
    "pode ser usada|pode ser usado|pode-se usar|fine|is fine|ok|okay|all right|alright|acceptable|possible|"
    "allowed|permitted|would be fine|good too|in ordnung|"
    "erlaubt|moglich|geht|permis|autorise|d'accord|permitido|permitida|aceptable|posible|vale|permesso|ammesso|"
    "accettabile|possibile|va bene|aceitavel|possivel|tudo bem|\u53ef\u4ee5|\u53ef\u7528|\u80fd\u7528|"
    "\u53ef\u4ee5\u7528".split("|")
)
#: Before an agent these say no more than that it may be.
_OPEN = set("possible|acceptable|moglich|posible|aceptable|possibile|accettabile|possivel|aceitavel".split("|"))
#: Behind an agent that is ruled out they add nothing.
_ANY_MORE = {"mehr", "more", "anymore"}
_YES = set("yes|ja|oui|si|sim|\u662f".split("|"))
_NO = set("no|not|nein|non|nao|nicht|pas|\u5426|\u4e0d|\u4e0d\u7528".split("|"))
#: Behind "no A and B" these part B from A; "if possible" does not.
_IN_PLACE = set(
    "instead|yes|enough|is enough|suffices|stattdessen|ja|reicht|genugt|a la place|oui|suffit|en su lugar|en cambio|"
    "invece|al suo posto|em vez disso|em seu lugar|sim".split("|")
)
_AGAINST = ("neg", "avoid", "avoid_after", "adverse", "failed", "than", "except", "doubt", "history")
#: Where these stand, a contrast may tell what was done or what else did harm.
_SPOKEN = {*_AGAINST, "wish", "permit"}
_UNSURE = {"history", "doubt", "failed", "except"}
_ENDS = (words.STRONG, words.QUESTION, "contrast")
_PLAIN = (MARK, "aux", "benign", DOSE)
_JOINING = (*_PLAIN, "conn", "then", WEAK, "with")
_NAMES = (AGENT, SUBSTANCE)


def part_contrasts(tokens: Sequence[Token]) -> list[Token]:
    """The words of a goal, with a break before each agent that is set against an exclusion.

    A contrast word that surely wishes becomes a word of wish.

    Args:
        tokens: of the goal, without its limits.
    """
    parted = _answered(tokens)
    starts, before = list[int](), _Against(parted)
    for first, second in _pairs(parted):
        found = _contrast(parted, before, first, second, starts[-1] if starts else 0)
        if found is None:
            continue
        start, word, kind = found
        starts.append(start)
        if word is not None:
            parted[word] = replace(parted[word], kind=kind)
    for start in reversed(starts):
        parted.insert(start, Token("contrast", "", parted[start].start, parted[start].start))
    return parted


def _pairs(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Each agent or substance with the agent behind it in the same sentence."""
    former: int | None = None
    for place, token in enumerate(tokens):
        if token.kind in _ENDS and token.text not in LEADS:
            former = None
        elif token.kind in _NAMES:
            if former is not None and token.kind == AGENT:
                yield former, place
            former = place


def _contrast(
    tokens: Sequence[Token], before: _Against, first: int, second: int, since: int
) -> tuple[int, int | None, str] | None:
    """Where the part of the second of two agents begins, the contrast word that says something of it, and what it says.

    None where no contrast parts the two. What stands before `since` belongs to another part.
    """
    gap = range(first + 1, second)
    if (behind := _behind_words(tokens, before, first, second)) is not None:
        return behind
    if any(tokens[n].kind not in _JOINING and tokens[n].text not in LEADS | TAILS | _FINE | _ANY_MORE for n in gap):
        return None
    against, breaks = before.at(first, since), [n for n in gap if tokens[n].kind == WEAK]
    begin = (breaks[-1] if breaks else first) + 1
    said = [n for n in gap if _is_lead(tokens, n) or tokens[n].text in _FINE]
    if not against:
        # "A only, no B" is parted by its words; "A only, B: no" by what stands behind B
        spoken = [n for n in gap if n < begin and tokens[n].text in TAILS | _FINE] if breaks else []
        return (begin, spoken[-1], "wish_after") if spoken and _ruled_out_behind(tokens, second) else None
    sure = not against & _UNSURE and not {"neg", "adverse"} <= against
    if said and said[-1] >= begin:
        word = said[-1]
        sure &= tokens[word].text not in _OPEN and not (tokens[word].text in _MAY_BE and "adverse" in against)
        # "no A, only in an emulsion with B" says how A may be given
        sure &= all(tokens[n].kind in _PLAIN and tokens[n].text != "in" for n in range(word + 1, second))
        return begin, word, "wish" if sure else "doubt"
    tail = _tail(tokens, second)
    if tail is None:
        # "no A now, B": the word stands with A, and B begins something else
        return (begin, None, "") if said and breaks else None
    joined = [tokens[n] for n in gap if tokens[n].kind in ("conn", "with")]
    if joined and (any(t.text in OR or t.kind == "with" for t in joined) or tokens[tail].text not in _IN_PLACE):
        return None
    sure &= not joined and tokens[tail].text in (TAILS | _FINE) - _MAY_BE and _is_closed(tokens, tail + 1)
    # a permission that more is said of is asked about
    kept = tail if sure or tokens[tail].kind == "permit" else None
    return begin if breaks or not joined else first + 1, kept, "wish_after" if sure else "doubt"


def _behind_words(
    tokens: Sequence[Token], before: _Against, first: int, second: int
) -> tuple[int, int | None, str] | None:
    """The same where words behind the first agent rule it out: "A contraindicated, only B", "A not, B is fine"."""
    breaks = [n for n in range(first + 1, second) if tokens[n].kind == WEAK]
    if not breaks:
        return None
    said = {tokens[n].kind for n in range(first + 1, breaks[-1])} & set(_AGAINST)
    rest = range(breaks[-1] + 1, second)
    plain = all(tokens[n].kind in (*_PLAIN, "conn") or tokens[n].text in LEADS for n in rest)
    if not said & {"neg", "avoid", "avoid_after", "adverse", "failed"} or not plain:
        return None
    leads, tail = [n for n in rest if tokens[n].text in LEADS], _tail(tokens, second)
    word = leads[-1] if leads else tail
    if word is None:
        return None
    # "allergies: A no, only B" and "no A allergy, only B" may say what there is an allergy to
    spoken = said | before.at(first)
    unsure = spoken & _UNSURE or {"neg", "adverse"} <= spoken
    sure = not unsure and (bool(leads) or _is_closed(tokens, word + 1))
    if not sure or tokens[word].text not in (LEADS | TAILS | _FINE) - _MAY_BE:
        return breaks[-1] + 1, word, "doubt"
    return breaks[-1] + 1, word, "wish" if leads else "wish_after"


def _is_lead(tokens: Sequence[Token], place: int) -> bool:
    text = tokens[place].text
    if text == "mas":
        return tokens[place - 1].kind == WEAK  # else it is Spanish "more"
    return text in LEADS


def _is_closed(tokens: Sequence[Token], place: int) -> bool:
    """True if a part of the sentence ends here, plain words aside."""
    while place < len(tokens) and tokens[place].kind in ("aux", "benign") and tokens[place].text != "in":
        place += 1
    return place >= len(tokens) or tokens[place].kind in (WEAK, *_ENDS, "conn") or tokens[place].text in ("-", ")")


def _tail(tokens: Sequence[Token], place: int) -> int | None:
    """Where behind an agent, and those that "and" and "or" join to it, a contrast word stands."""
    joined = False
    for n in range(place + 1, len(tokens)):
        token = tokens[n]
        if token.text in TAILS or token.kind == "permit":
            return n
        if token.kind in _NAMES and joined:
            joined = False
        elif token.kind == "conn":
            joined = True
        elif token.kind not in _PLAIN:
            return None
    return None


def _ruled_out_behind(tokens: Sequence[Token], place: int) -> bool:
    """True if words of exclusion stand right behind an agent."""
    for n in range(place + 1, len(tokens)):
        token = tokens[n]
        if token.kind in ("neg", "avoid", "avoid_after", "adverse"):
            return True
        if token.kind not in _PLAIN:
            return False
    return False


class _Against:
    """The kinds of words that rule out the agent at a place; over a comma only where none stands behind it.

    Asked from left to right, so that a long list is gone through once.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens, self._place = tokens, 0
        self._last: dict[str, int] = {}
        self._spoken = self._end = self._comma = self._comma_before = -1

    def at(self, place: int, since: int = 0) -> set[str]:
        """Those before a place, which is no earlier one than that of the call before, and not before `since`."""
        for n in range(self._place, place):
            kind = self._tokens[n].kind
            if kind in _ENDS:
                self._end = n
            elif kind == WEAK:
                self._comma = n
            elif kind in _SPOKEN:
                self._last[kind], self._spoken, self._comma_before = n, n, self._comma
        self._place = max(self._place, place)
        begin = max(since, self._end + 1)
        if self._spoken < begin:
            return set()
        begin = max(begin, self._comma_before + 1)
        return {kind for kind, n in self._last.items() if n >= begin} & set(_AGAINST)


def _answered(tokens: Sequence[Token]) -> list[Token]:
    """ "A: no; B: yes", "A (no), B (yes)", "A no B yes", "yes to A, no to B"."""
    found, breaks, before = list(tokens), list[int](), _Against(tokens)
    for place, token in enumerate(tokens):
        if token.text in _YES - {"si", "\u662f"} and token.kind == "permit" and _begins(tokens, place):
            behind = place + 1
            while behind < len(tokens) and tokens[behind].kind in ("aux", MARK, "after_prep"):
                behind += 1
            if behind < len(tokens) and tokens[behind].kind == AGENT:
                found[place] = replace(token, kind="wish")
        if token.kind != AGENT:
            continue
        answer = place + 1
        while answer < len(tokens) and tokens[answer].kind in (DOSE, MARK):
            answer += 1
        bracketed = answer < len(tokens) and tokens[answer].text in ("(", "[", "-")
        answer += bracketed
        if answer >= len(tokens) or tokens[answer].text not in _YES | _NO | (TAILS if bracketed else set()):
            continue
        # in "A no B yes" each is answered; "A, no B: yes" says nothing of the kind
        within = answer + 1 < len(tokens) and tokens[answer + 1].kind == AGENT and _all_answered(tokens)
        if not (_is_closed(tokens, answer + 1) or within):
            continue
        if bracketed:
            found[answer - 1] = replace(tokens[answer - 1], kind=MARK, text=":")
            if answer + 1 < len(tokens) and tokens[answer + 1].text in (")", "]"):
                found[answer + 1] = replace(tokens[answer + 1], text=",")
        if within:
            breaks.append(answer + 1)
        spoken_of = before.at(place) & {"adverse", "history", "failed", "doubt"}
        if tokens[answer].text in _YES and not spoken_of and _stands_alone(tokens, place):
            found[answer] = replace(tokens[answer], kind="wish_after")
    for place in reversed(breaks):
        found.insert(place, Token(WEAK, ",", found[place].start, found[place].start))
    return found


def _begins(tokens: Sequence[Token], place: int) -> bool:
    return place == 0 or tokens[place - 1].kind in (WEAK, words.STRONG, "contrast", "conn")


def _stands_alone(tokens: Sequence[Token], place: int) -> bool:
    """True if nothing but plain words and agents stands before an agent in its part of the sentence."""
    for n in range(place - 1, -1, -1):
        token = tokens[n]
        if token.kind in (WEAK, *_ENDS):
            return True
        if token.kind not in (*_PLAIN, "conn", AGENT, "neg", "permit"):
            return False
    return True


def _all_answered(tokens: Sequence[Token]) -> bool:
    """True if agents and answers take turns, an agent first."""
    kept = [t for t in tokens if t.kind not in (MARK, DOSE, WEAK)]
    return len(kept) % 2 == 0 and all(
        t.kind == AGENT if n % 2 == 0 else t.text in _YES | _NO for n, t in enumerate(kept)
    )
