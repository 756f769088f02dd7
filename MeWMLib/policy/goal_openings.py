"""Negations and questions in a treatment goal that stand without what they are about.

"do not, allergic to A, use B": something was put between a negation and its verb. What such a goal wishes behind it
cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from MeWMLib.policy import goal_words as words
from MeWMLib.policy.goal_words import AGENT, DOSE, FACT, MARK, SUBSTANCE, WEAK, Token, counted

if TYPE_CHECKING:
    from MeWMLib.policy.goal_sentences import Group

#: Negations of what is done, which need a verb; those of a noun ("no", "without") can deny an allergy.
VERB_NEG = set(
    "do not|don't|dont|does not|doesn't|did not|didn't|should not|shouldn't|must not|mustn't|cannot|can not|can't|cant|"
    "may not|will not|won't|would not|wouldn't|not to|unable to|not able to|ne pas|rather not".split("|")
)
NEVER = set(
    "never|by no means|under no circumstances|in no case|on no account|nie|niemals|auf keinen fall|keinesfalls|jamais|"
    "nunca|jamas|mai|\u4e0d\u8981|\u4e0d\u80fd|\u4e0d\u53ef|\u52ff|\u522b".split("|")
)
_INFINITIVES = {"zu", "wegzulassen", "auszulassen", "auszuschliessen", "abzusetzen"}
#: Articles of the languages known.
ARTICLES = set("the a an any his her their der die das den dem ein eine le la les un une el los las il lo l'".split())


def is_left_open(segment: Sequence[Token]) -> bool:
    """True for a segment without a group whose negation or question waits for what it is about: "do not", "should we".

    Something was put between it and its object, so that no later wish of the goal can be trusted.
    """
    tokens = [t for t in segment if t.kind != MARK]
    if not tokens:
        return False
    open_kinds = {"neg", "avoid", "except", "than", "doubt", "history", "double"}
    filler = {"aux", "benign", "after_prep", "wish", "wish_after", "permit", "conn", "with", "follow", "then"}
    kinds = {t.kind for t in tokens}
    if tokens[0].kind == "neg" and tokens[0].text not in VERB_NEG | NEVER and kinds == {"neg", "benign"}:
        return not counted(tokens[-1].text)  # "no other drug" says what it is about
    if kinds & open_kinds and kinds <= open_kinds | filler:
        return True
    last = tokens[-1]
    flags = kinds & (open_kinds | {"adverse", "failed"})
    return bool(flags) and (last.kind in ("after_prep", "with") or last.text in ARTICLES)


def is_denied_reason(segment: Sequence[Token], group: Group) -> bool:
    """ "kein Grund, A zu vermeiden": the negation before the comma is about the infinitive behind the agents."""
    led = any(t.text in _INFINITIVES for t in group.post) and any(t.kind == "avoid" for t in group.post)
    return led and any(t.kind == "neg" for t in segment)


def opened(tokens: Sequence[Token]) -> int:
    """Where in a goal a negation stands without what it negates, so that no later wish counts; past its end if nowhere.

    "do not, allergic to A, use B": something was put between the negation and its verb.
    """
    stops = {words.STRONG, WEAK, words.QUESTION, "contrast", "conn", "follow", "adverse", "neg", "avoid", "doubt"}
    stops |= {"failed", "with", FACT, "except", "than", "double"}
    kept = [t for t in tokens if t.kind not in ("aux", "benign", "wish_after") and (t.kind != MARK or t.text == ":")]
    for n, token in enumerate(kept):
        verb = token.kind == "neg" and (token.text in VERB_NEG | NEVER or (n and kept[n - 1].kind == "wish"))
        infinitive = token.text in ("to", "zu") and n and kept[n - 1].kind not in ("adverse", "failed")
        behind = kept[n + 1] if n + 1 < len(kept) else None
        alone = (
            token.kind == "neg"
            and behind is not None
            and behind.kind == "conn"
            and (not n or kept[n - 1].kind != AGENT)
        )
        if alone:
            return token.start
        if not (verb or infinitive):
            continue
        if behind is None or behind.kind in stops or behind.text == ":":
            return token.start
        former = behind.kind == "history" and behind.text.startswith(("pre", "prior", "former", "earlier"))
        if former or (behind.kind == "history" and (infinitive or token.text in VERB_NEG)):
            return token.start
        if infinitive and behind.kind == AGENT and any(t.kind == "neg" for t in kept[max(0, n - 3) : n]):
            return token.start
        if verb and behind.kind == "after_prep" and (n + 2 >= len(kept) or kept[n + 2].kind != "wish"):
            return token.start
        if behind.kind in (AGENT, SUBSTANCE) and verb:
            said = next((kept[m].kind for m in range(n + 2, len(kept)) if kept[m].kind not in (AGENT, DOSE)), "")
            if token.text in VERB_NEG or said in ("adverse", "failed", "avoid", "avoid_after", "neg", words.UNKNOWN):
                return token.start
    return 10**9
