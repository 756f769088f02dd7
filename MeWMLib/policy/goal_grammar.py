"""The grammar of treatment goals: what the words around a group of agents say about it.

The words before a group and those right behind it give its polarity. Whatever is not clear has the polarity `DOUBT`.
"""

from __future__ import annotations

from collections.abc import Sequence

from MeWMLib.policy.goal_openings import NEVER, VERB_NEG
from MeWMLib.policy.goal_sentences import OR, PLEASE, RULED_OUT, SKIPPED, Group
from MeWMLib.policy.goal_words import AGENT, DOSE, FACT, MARK, UNKNOWN, Token

WISH, EXCLUDE, ADVERSE, DENIED = "wish", "exclude", "adverse", "denied"
HISTORY, PERMIT, DOUBT, BARE, FREED, LIMITED = "history", "permit", "doubt", "bare", "freed", "limited"
#: Behind a group, words that leave the meaning of that group open.
_UNCLEAR = "unclear"
#: Two words that are one negation in French, Spanish and Italian.
_NEG_FIRST = {"ne", "n'", "non", "no"}
_NEG_SECOND = set(
    "pas|pas de|pas d'|jamais|mai|nunca|jamas|ningun|ninguna|tampoco|nessun|nessuna|aucun|aucune".split("|")
)
#: These compare only where a preference was spoken of; else they mean "as" or "that".
_OPEN_THAN = {"als", "que", "che", "over", "than"}
#: Exceptions that stand for themselves; the others may also free an agent from an exclusion before them.
_ALL_BUT = set(
    "but not|anything but|everything but|all but|anything except|everything except|anything other than|nur nicht|"
    "alles ausser|tout sauf|todo menos|todo excepto|tutto tranne|anything else than".split("|")
)
#: Auxiliary verbs of what was, or is already, done: "first two were with A" wishes nothing.
_PAST = set("was|were|been|has been|had|war|waren|wurde|etait|fue|era".split("|"))
_TOLD = _PAST | set("is|are|has|have|ist|sind|werden|est|sont|es|son|e|sono".split("|"))
#: Words that count sessions, given or to come.
_SESSIONS = set("session|sessions|sitzung|first|twice|one|two|three|again|further|zuerst|d'abord|primero".split("|"))
#: Before a participle these wish, "A should be used".
_MODAL = set(
    "should be|must be|shall be|to be|has to be|have to be|needs to be|need to be|ought to be|will be|soll|sollte|muss|"
    "doit|doit etre|debe|debe ser|deve|deve essere|va".split("|")
)
_DONE = set(
    "used|given|tried|added|chosen|selected|included|injected|administered|applied|taken|employed|preferred|verwendet|"
    "gegeben|benutzt|eingesetzt|verabreicht|genommen|gewahlt|utilise|utilisee|donne|donnee|administre|administree|"
    "employe|choisi|usado|usada|utilizado|utilizada|dado|dada|administrado|administrada|elegido|usato|usata|utilizzato|"
    "utilizzata|dato|data|somministrato|somministrata|scelto|scelta".split("|")
)
#: Articles of an amount, "avec du lipiodol".
_PARTITIVE = set("du|de|d'|de la|de l'|del|della".split("|"))
#: What stands behind these is feared, and not there.
_AIMS = {"to avoid", "to reduce", "to prevent", "to protect", "to spare", "prevent", "preventing"}
#: What stands behind these is the reason for what was said before: "no A because of ascites".
_REASONS = set(
    "due to|because of|because|since|caused by|given|wegen|weil|durch|car|parce|porque|por|per|perche|\u56e0\u4e3a|"
    "\u7531\u4e8e".split("|")
)
#: They deny what stands behind them, never what stands before.
_WITHOUT = set("without|w/o|ohne|sans|sin|senza|free of|negative for|denies|neither|weder".split("|"))
#: Behind a negation they say no more than "there": "ascites not present".
_THERE = set(
    "present|seen|found|detected|detectable|visible|evident|documented|known|demonstrated|identified|observed|noted|"
    "vorhanden|nachweisbar|bekannt|sichtbar|gesehen|present|presente|presentes|visto|vista|vu|vue|connu|connue|"
    "evidente|noto|nota|conocido|conocida".split("|")
)
_NEITHER = set("neither|weder|ni|ne".split("|"))
_INFINITIVE = {"to", "zu", "de", "di", "d'", "a", "of", "from", "by"}


def judge(group: Group, spoken: bool, previous: Group | None) -> None:
    """Set the polarity of each member of a group.

    Args:
        group: of a sentence.
        spoken: a word of preference stands earlier in the sentence.
        previous: the group before it in the sentence.
    """
    before, behind = _before(group, spoken, previous), _behind(group)
    if before == WISH and behind == _UNCLEAR and _seen_done(group):
        behind = None
    count = len(group.members)
    cut = max(group.cuts) if group.cuts else None
    if before == HISTORY and any(t.kind == "clinical" for t in group.post):
        behind = _UNCLEAR
    if before == ADVERSE and behind == EXCLUDE and any(t.text in RULED_OUT for t in group.post):
        found = [DOUBT] * count  # "an allergy to A was ruled out"
    elif before == BARE and behind in (None, _UNCLEAR):
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
    if found == [DENIED] * count and previous is not None and previous.polarities[-1:] == [EXCLUDE]:
        # "neither to A nor to B is there an allergy"
        linked = [t.text in OR and t.kind == "neg" for t in group.pre[:1]] == [True]
        if linked and any(t.kind == "after_prep" for t in previous.pre[-1:]):
            previous.polarities = [DENIED] * len(previous.polarities)
    if group.members[0].kind == FACT:
        found = _of_facts(group, before, found, previous)
    group.polarities = found


def _of_facts(group: Group, before: str, found: list[str], previous: Group | None) -> list[str]:
    """A denial reaches only what "or" joins to it: "no ascites, heart failure" denies one and states the other."""
    denied = before in (EXCLUDE, DENIED)
    if denied and len(found) > 1 and not group.worded:
        return [found[0]] + [DOUBT] * (len(found) - 1)
    led_on = previous is not None and (set(previous.polarities) & {EXCLUDE, DENIED})
    if before == BARE and led_on and any(t.text in OR for t in group.pre):
        return [DOUBT] * len(found)
    return found


def _denies(group: Group) -> bool:
    """ "no A allergy": a noun's negation before, and the allergy right behind."""
    cues = [t for t in group.pre if t.kind not in (*SKIPPED, "after_prep")]
    nouns = all(t.kind == "neg" and t.text not in VERB_NEG | NEVER for t in cues)
    behind = [t.kind for t in group.post if t.kind not in ("benign", MARK)]
    worded = group.worded and all(t.text != ":" for t in group.post)
    return nouns and worded and behind[:1] == ["adverse"]


def _only_please(group: Group) -> bool:
    words_after = {t.text for t in group.post if t.kind == "wish_after"}
    return bool(words_after) and words_after <= PLEASE


def _before(group: Group, spoken: bool, previous: Group | None) -> str:
    """The polarity that the words before a group give it."""
    tokens = [t for t in group.pre if t.kind not in (MARK, DOSE)]
    if group.members[0].kind == FACT:
        tokens = tokens[1 + max((n for n, t in enumerate(tokens) if t.text in _REASONS), default=-1) :]
        avoided = [t.text for t in tokens if t.kind in ("avoid", "avoid_after") or t.text in _AIMS]
        if avoided and not set(avoided) & RULED_OUT and not any(t.kind == "neg" for t in tokens):
            return DOUBT  # "to avoid encephalopathy" does not say that there is none
    colon = [n for n, t in enumerate(group.pre) if t.kind == MARK and t.text == ":"]
    if colon and not any(t.kind in ("neg", "avoid", "adverse", "doubt", "except") for t in group.pre[: colon[-1]]):
        # a heading ("Tumour control: use ...") says nothing about what follows, unless it is itself a cue
        kept = group.pre[colon[-1] + 1 :]
        if any(t.kind not in SKIPPED for t in kept):
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
            return _denied_behind(tokens[place + 1 :])
        if earlier > 1 or (earlier and "avoid" in kinds[:place]):
            return DOUBT
        if any(t.text in VERB_NEG | NEVER for t in tokens[:place]):
            return DOUBT
        if UNKNOWN in kinds[place:] and "wish" in kinds[place + kinds[place:].index(UNKNOWN) :]:
            return DOUBT  # "a rash with penicillin and wants A"
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
        if previous is not None and _denied_too(tokens, place, previous.polarities[-1:]):
            return DENIED
        if UNKNOWN in kinds[place:] and (tokens[-1].text in _INFINITIVE or kinds[-1] in ("with", "after_prep")):
            return DOUBT  # "not opposed to A", "no risk with A"
        if "history" in kinds[place:]:
            return DOUBT if "wish" in kinds[place:] else HISTORY
        return EXCLUDE
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
        plain = set(kinds[:place]) <= {"benign", "conn", "aux"} and all(
            t.kind == "aux" or t.text in _PARTITIVE for t in tokens[place + 1 :]
        )
        plain &= all(t.text not in _TOLD | _SESSIONS for t in tokens[:place])
        spoken_before = set(previous.polarities) if previous is not None else set()
        return WISH if plain and group.follows_break and spoken_before <= {WISH, EXCLUDE} else BARE
    return BARE


def _wish(tokens: list[Token], kinds: list[str], starts: bool) -> str:
    """A wish word governs the group if nothing that is not understood stands between, and it is no mere mention."""
    last = max(n for n, kind in enumerate(kinds) if kind in ("wish", "wish_after"))
    first = next(n for n, kind in enumerate(kinds) if kind in ("wish", "wish_after"))
    if any(kind in (UNKNOWN, "clinical", "follow") for kind in kinds[last + 1 :]):
        return DOUBT
    if any(t.text in _PAST for t in tokens[first:]):
        return DOUBT  # "our first choice was A"
    earlier = [n for n in range(first) if kinds[n] not in ("benign", "conn")]
    noun = tokens[first].text.endswith("ing") or tokens[first].text in ("use of", "gabe von")
    if earlier and tokens[earlier[-1]].text in _INFINITIVE:
        return DOUBT  # "hesitates to use", "to use" after a break
    if noun and any(kinds[n] in (UNKNOWN, "clinical") for n in earlier):
        return DOUBT
    if "clinical" in kinds[:first] and not starts:
        return DOUBT
    return WISH


def _denied_too(tokens: Sequence[Token], place: int, former: Sequence[str]) -> bool:
    """ "allergic to A, not to B", "allergic to neither A nor B"."""
    rest = [t.kind for t in tokens[place + 1 :] if t.kind not in ("aux", "benign")]
    alone = tokens[place].text == "not to" and not rest
    if former == [DENIED] and tokens[place].text in OR and not rest:
        return True
    return former in ([ADVERSE], [DENIED]) and (alone or rest[:1] == ["after_prep"])


def _denied_behind(tokens: Sequence[Token]) -> str:
    """A negation behind an adverse word: "allergic neither to A" denies it, "due to an allergy no A" rules A out."""
    words = [t for t in tokens if t.kind not in ("aux", "benign")]
    place = next(n for n, t in enumerate(words) if t.kind == "neg")
    if len(words) == 1:
        return DOUBT if words[0].text in VERB_NEG else EXCLUDE
    beside = [t.kind for t in (*words[max(0, place - 1) : place], *words[place + 1 : place + 2])]
    neither = words[place].text in _NEITHER | {"not", "nicht", "pas", "no", "non"}
    if len(words) == 2 and "after_prep" in beside and neither:
        return DENIED
    return EXCLUDE if "wish" in beside or words[-1].kind == "neg" else DOUBT


def _seen_done(group: Group) -> bool:
    """ "would like to see A tried first": the participle says what is wished."""
    words = [t for t in group.post if t.kind not in (MARK, DOSE, "aux", "benign")]
    sees = any(t.kind == "wish" and t.text.endswith(" see") for t in group.pre)
    return sees and len(words) == 1 and words[0].text in _DONE


def _negations(tokens: Sequence[Token]) -> int:
    negs = [t.text for t in tokens if t.kind == "neg"]
    pairs = min(sum(n in _NEG_FIRST for n in negs), sum(n in _NEG_SECOND for n in negs))
    return len(negs) - pairs


def _denied_fact(tokens: Sequence[Token]) -> str | None:
    """A negation behind a finding: "ascites: none" denies it, "ascites without fever" denies what comes behind."""
    place = next(n for n, t in enumerate(tokens) if t.kind == "neg")
    if tokens[place].text in _WITHOUT:
        return None
    behind = [t for t in tokens[place + 1 :] if t.text not in _THERE]
    about_another = any(t.kind in (UNKNOWN, "clinical", "adverse") for t in behind)
    return DOUBT if about_another or _negations(tokens) > 1 else EXCLUDE


def _behind(group: Group) -> str | None:
    """The polarity that the words right behind a group give it; None if they say nothing about it."""
    tokens = [t for t in group.post if t.kind not in (MARK, DOSE)]
    kinds = [t.kind for t in tokens]
    significant = [k for k in kinds if k not in ("aux", "benign", "conn", "then")]
    negs = _negations(tokens)
    if "adverse" in kinds:
        place = kinds.index("adverse")
        earlier = _negations(tokens[:place])
        if "doubt" in kinds[:place]:
            return DOUBT  # "A unless allergic"
        if set(kinds[place:]) & {"neg", "avoid", "avoid_after"}:
            return DOUBT  # "A allergy was ruled out"
        return ADVERSE if not earlier else DENIED if earlier == 1 else DOUBT
    if "avoid_after" in kinds or "avoid" in kinds:
        return DOUBT if negs else EXCLUDE
    if "failed" in kinds or "doubt" in kinds:
        return DOUBT
    if negs and group.members[0].kind == FACT:
        return _denied_fact(tokens)
    if negs:
        return EXCLUDE if negs == 1 else DOUBT
    if "except" in kinds or "than" in kinds:
        return None
    if not significant:
        return None
    head = significant[0]
    modal = next((n for n, t in enumerate(tokens) if t.text in _DONE), 0)
    if any(t.text in _PAST for t in tokens[: kinds.index(head)]):
        return _UNCLEAR if head != "wish" else DOUBT  # "A was our first choice"
    if modal and any(t.text in _MODAL for t in tokens[:modal]) and set(kinds[:modal]) <= {"aux", "benign"}:
        rest = set(kinds[modal + 1 :]) - {"aux", "benign"}
        return WISH if rest <= {"follow", "wish_after"} else DOUBT
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
