"""In which language an operation report seems to be written: only English is read.

Words that carry a sentence ("wurde", "dans", "en la") are counted, since the names of agents are nearly the same
everywhere.
"""

from __future__ import annotations

import re

#: Words of each language that are no English words and no names of agents.
_WORDS = {
    "German": (
        "der das und oder wurde wurden mit von vom zur zum bei nach aus dem des ein eine einer eines einem einen "
        "nicht keine kein sowie auf \u00fcber rechte rechten linke linken injiziert verabreicht gegeben "
        "appliziert emulgiert embolisiert injektion leberarterie tumoranf\u00e4rbung danach anschlie"
        "\u00dfend jeweils es werden sind ist stase gabe"
    ),
    "French": (
        "le les des une du et ou avec dans de pour est sont \u00e9t\u00e9 ont au aux puis apr\u00e8s "
        "pas l'art\u00e8re art\u00e8re art\u00e8res droite gauche h\u00e9patique inject\u00e9 inject\u00e9e "
        "inject\u00e9s administr\u00e9 \u00e9mulsion chimioembolisation sans nous avons"
    ),
    "Spanish": (
        "el los las una de y con se por para del al fue fueron sin arteria derecha izquierda hep\u00e1tica "
        "inyectaron inyect\u00f3 administr\u00f3 administraron emulsi\u00f3n quimioembolizaci\u00f3n despu\u00e9s "
        "la su lo"
    ),
    "Italian": (
        "il gli della dello delle dei nel nella nell con sono stati stato stata di e una dell "
        "arteria destra sinistra epatica iniettati iniettato somministrati somministrato emulsione "
        "chemioembolizzazione quindi senza"
    ),
    "Portuguese": (
        "o os de um uma e com foi foram da das dos pela pelo para sem art\u00e9ria direita esquerda "
        "hep\u00e1tica injetados injetado administrados administrado emuls\u00e3o quimioemboliza\u00e7\u00e3o ap\u00f3s"
    ),
    "Dutch": "het een van en werd werden met naar niet toegediend ge\u00efnjecteerd rechter linker leverslagader",
}  # fmt: skip
#: Letters that are words too: counted only beside longer words.
_SHORT = frozenset({"e", "y", "o"})
_ENGLISH = frozenset(
    "the of and was were with into to for by from this that is are an at on after then through via been had has no not "
    "both each injected infused given artery arteries segment hepatic lobe used performed administered".split()
)
_TABLE = {name: frozenset(words.split()) for name, words in _WORDS.items()}
#: Scripts other than Latin; kana come before the signs that Japanese shares with Chinese.
_SCRIPTS = (
    ("Japanese", re.compile(r"[\u3040-\u30ff]")),
    ("Korean", re.compile(r"[\uac00-\ud7a3]")),
    ("Chinese", re.compile(r"[\u4e00-\u9fff]")),
    ("Russian", re.compile(r"[\u0400-\u04ff]")),
    ("Arabic", re.compile(r"[\u0600-\u06ff]")),
)
_WORD = re.compile(r"[^\W\d_]+")
#: Letters of another script, and words of another language, from which on it is said.
_LEAST_LETTERS, _LEAST_WORDS = 3, 2


def other_language(text: str) -> str:
    """What a report in another language, or with a part in one, is said to be; "" for English and for bare lists.

    Args:
        text: of the report.

    Returns:
        A sentence that begins "this report" or "a part of this report".
    """
    found = _WORD.findall(text.lower())
    english = sum(word in _ENGLISH for word in found)
    for name, letters in _SCRIPTS:
        count = sum(1 for _ in letters.finditer(text))
        if count >= _LEAST_LETTERS:
            return _said(name, count > english)
    counts = {}
    for name, words in _TABLE.items():
        hits = [word for word in found if word in words]
        counts[name] = len(hits) if any(word not in _SHORT for word in hits) else 0
    name = max(counts, key=lambda key: counts[key])
    kinds = {word for word in found if word in _TABLE[name]}
    if counts[name] < _LEAST_WORDS or len(kinds) < _LEAST_WORDS:
        return ""
    if counts[name] > english:
        # two languages that share their words: neither is named
        rivals = [other for other, count in counts.items() if count == counts[name]]
        return _said(name if len(rivals) == 1 else "another language", True)
    return _said(name, False) if len(kinds) > _LEAST_WORDS + 1 and 4 * counts[name] > english else ""


def _said(language: str, whole: bool) -> str:
    return f"{'' if whole else 'a part of '}this report seems to be in {language}; only English is read"
