"""What the words around a group of agents may say of it, and the words that say so in more than one way."""

from __future__ import annotations

from collections.abc import Sequence

from MeWMLib.policy.goal_words import Token

WISH, EXCLUDE, ADVERSE, DENIED = "wish", "exclude", "adverse", "denied"
HISTORY, PERMIT, DOUBT, BARE, FREED, LIMITED = "history", "permit", "doubt", "bare", "freed", "limited"
#: An adverse fact that is not sure: it counts until somebody says otherwise, and is asked about.
FEARED = "feared"
#: Behind "no A" by a comma alone: ruled out until somebody says otherwise, and asked about.
LISTED = "listed"
#: Ruled out with an exception or under a condition: counts until somebody says otherwise, and is asked about.
UNLESS = "unless"
#: Behind a group, words that leave the meaning of that group open.
UNCLEAR = "unclear"
#: Two words that are one negation in French, Spanish and Italian.
NEG_FIRST = {"ne", "n'", "non", "no", "nao"}
NEG_SECOND = set(
    "pas|pas de|pas d'|jamais|mai|nunca|jamas|ningun|ninguna|tampoco|nessun|nessuna|aucun|aucune|nenhum|nenhuma".split(
        "|"
    )
)
#: These compare only where a preference was spoken of; else they mean "as" or "that".
OPEN_THAN = {"als", "que", "che", "over", "than"}
#: Exceptions that stand for themselves; the others may also free an agent from an exclusion before them.
ALL_BUT = set(
    "but not|anything but|everything but|all but|anything except|everything except|anything other than|nur nicht|"
    "alles ausser|tout sauf|todo menos|todo excepto|tutto tranne|anything else than".split("|")
)
#: Auxiliary verbs of what was, or is already, done: "first two were with A" wishes nothing.
PAST = set("was|were|been|has been|had|war|waren|wurde|etait|fue|era".split("|"))
TOLD = PAST | set("is|are|has|have|ist|sind|werden|est|sont|es|son|e|sono".split("|"))
#: Words that count sessions, given or to come.
SESSIONS = set("session|sessions|sitzung|first|twice|one|two|three|again|further|zuerst|d'abord|primero".split("|"))
#: Before a participle these wish, "A should be used".
MODAL = set(
    "should be|must be|shall be|to be|has to be|have to be|needs to be|need to be|ought to be|will be|soll|sollte|muss|"
    "doit|doit etre|debe|debe ser|deve|deve essere|va".split("|")
)
DONE = set(
    "used|given|tried|added|chosen|selected|included|injected|administered|applied|taken|employed|preferred|verwendet|"
    "gegeben|benutzt|eingesetzt|verabreicht|genommen|gewahlt|utilise|utilisee|donne|donnee|administre|administree|"
    "employe|choisi|usado|usada|utilizado|utilizada|dado|dada|administrado|administrada|elegido|usato|usata|utilizzato|"
    "utilizzata|dato|data|somministrato|somministrata|scelto|scelta".split("|")
)
#: Articles of an amount, "avec du lipiodol".
PARTITIVE = set("du|de|d'|de la|de l'|del|della".split("|"))
#: What stands behind these is feared, and not there.
AIMS = {"to avoid", "to reduce", "to prevent", "to protect", "to spare", "prevent", "preventing"}
#: What stands behind these is the reason for what was said before: "no A because of ascites".
REASONS = set(
    "due to|because of|because|since|caused by|given|wegen|weil|durch|car|parce|porque|por|per|perche|\u56e0\u4e3a|"
    "\u7531\u4e8e".split("|")
)
#: They deny what stands behind them, never what stands before.
WITHOUT = set("without|w/o|ohne|sans|sin|sem|senza|free of|negative for|denies|neither|weder".split("|"))
#: Behind a negation they say no more than "there": "ascites not present".
THERE = set(
    "present|seen|found|detected|detectable|visible|evident|documented|known|demonstrated|identified|observed|noted|"
    "vorhanden|nachweisbar|bekannt|sichtbar|gesehen|present|presente|presentes|visto|vista|vu|vue|connu|connue|"
    "evidente|noto|nota|conocido|conocida".split("|")
)
#: A finding of which these are said may be there no more: it is asked.
GONE = set(
    "resolved|regressed|disappeared|recanalised|recanalized|gone|cured|treated|resolving|regredient|aufgelost|"
    "rekanalisiert|verschwunden|resolutif|disparu|disparue|resuelta|resuelto|risolto|risolta|"
    "resected|removed|\u6d88\u5931|\u6d88\u9000".split("|")
)
#: A denial with one of these is none: "almost free of ascites".
ALMOST = set(
    "almost|nearly|practically|virtually|essentially|largely|mostly|fast|praktisch|nahezu|beinahe|weitgehend|presque|"
    "quasiment|quasi|pratiquement|casi|practicamente|praticamente|pressoche|\u51e0\u4e4e|\u57fa\u672c".split("|")
)
#: They speak of several: what stands beside them is a list.
PLURAL = set(
    "are|both|all|neither|either|allergies|allergien|intolerances|contraindications|beide|sind|alle|sont|allergies|tous|"
    "alergias|son|ambos|sono|entrambi|sao|\u90fd|\u5747".split("|")
)
ANY_MORE = {"anymore", "any more", "any longer"}
#: What is denied with these was there once.
NO_LONGER = set(
    "no longer|not longer|nicht mehr|nicht langer|ne plus|plus d'|ya no|non piu|ja nao|nao mais|\u4e0d\u518d".split("|")
)
AFTER = set("after|following|post|nach|apres|tras|despues de|dopo|\u540e|\u672f\u540e".split("|"))
#: "no history of ascites" denies it for all times, "no previous ascites" does not.
EVER = ("history", "antecedent", "vorgeschichte", "anamnes", "storia")
NEITHER = set("neither|weder|ni|nem|ne".split("|"))
#: Behind a finding or an allergy they deny it, and can mean nothing else.
DENIALS = set(
    "negative|neg|neg.|none|denied|absent|negativ|negatif|negativo|negativa|negada|negado|negata|negato|niee|verneint|-ve|"
    "(-)|nil|\u9634\u6027|\u5426\u8ba4".split("|")
)
#: Negations of a verb in other languages, and plain ones.
NOT = {"not", "nicht", "pas", "ne", "n'", "non", "no", "nao", "\u4e0d"}
#: Negated, these verbs and states rule an agent out, and wish it never.
UNFIT = set(
    "stock|receive|have|get|employ|apply|infuse|order|propose|offer|load|deliver|"
    "available|indicated|option|suitable|appropriate|feasible|advisable|advised|reimbursed|licensed|approved|in stock|"
    "verfugbar|vorhanden|indiziert|geeignet|angezeigt|sinnvoll|zugelassen|lieferbar|ratsam|disponible|indique|indiquee|"
    "adapte|adaptee|approprie|indicado|indicada|adecuado|adecuada|disponibile|indicato|indicata|adatto|adatta".split(
        "|"
    )
)
INFINITIVE = {"to", "zu", "de", "di", "d'", "a", "of", "from", "by"}


def negations(tokens: Sequence[Token]) -> int:
    negs = [t.text for t in tokens if t.kind == "neg"]
    pairs = min(sum(n in NEG_FIRST for n in negs), sum(n in NEG_SECOND for n in negs))
    return len(negs) - pairs
