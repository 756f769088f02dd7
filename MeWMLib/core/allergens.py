"""Allergens: what people write, to the name under which a clinical rule finds it.

Brands of contrast media and of drugs are known, and so are some substances that have nothing to do with what is given
here. Of any other substance nobody can say whether it matters: the rules then cannot be judged.
"""

from __future__ import annotations

import re
from functools import cache

from MeWMLib.core.clinical_fields import plain
from MeWMLib.core.errors import ClinicalDataError, UnknownAgentError
from MeWMLib.core.protocol import agent, vocabulary

#: Group of substances to what it is called, and to its members that MeWM does not give. Parted by |.
GROUPS = {
    "iodine": "iodine|iodinated contrast|iodine contrast|iodinated contrast medium|iodinated contrast media|contrast|"
    "contrast medium|contrast media|contrast agent|contrast dye|x-ray contrast|ct contrast|iv contrast|radiocontrast|"
    "radiographic contrast|jod|iode|yodo|iodio|kontrastmittel|rontgenkontrastmittel|km|produit de contraste|"
    "produits de contraste iodes|medio de contraste|contraste yodado|mezzo di contrasto|碘|造影剂|碘造影剂|"
    "iohexol|omnipaque|accupaque|iodixanol|visipaque|iopamidol|isovue|solutrast|iopamiro|niopam|iomeprol|imeron|iomeron|"
    "iopromide|ultravist|ioversol|optiray|iobitridol|xenetix|ioxitalamate|telebrix|iopentol|imagopaque|iotrolan|"
    "isovist|ioxaglate|hexabrix|diatrizoate|amidotrizoate|gastrografin|urografin|urovist|conray|iothalamate|oxilan|"
    "ioxilan",
    "platinum": "platinum|platin|platine|platino|platinum drug|platinum drugs|platinum compound|platinum compounds|"
    "platinum agent|platinum agents|platinum chemotherapy|platinum salts|铂类|carboplatin|paraplatin|satraplatin|"
    "heptaplatin|miriplatin",
    "anthracycline": "anthracycline|anthracyclines|anthrazyklin|anthrazykline|antraciclina|"
    "antracicline|蒽环类|daunorubicin|daunomycin|cerubidine|daunoxome|valrubicin|aclarubicin|amrubicin",
    "gelatin": "gelatin|gelatine|gelatina|gelatin products|bovine gelatin|porcine gelatin|pork gelatin|明胶|"
    "gelofusine|haemaccel",
}
#: Other names of substances that are in an agent: of the carrier oil, of glue, of the particles.
_OF_AGENTS = {
    "poppy seed oil": "Lipiodol", "poppy seed": "Lipiodol", "poppyseed": "Lipiodol", "poppyseed oil": "Lipiodol",
    "cyanoacrylate": "NBCA", "tissue glue": "NBCA", "superglue": "NBCA", "dermabond": "NBCA", "polyvinyl": "PVA",
    "alcohol": "Absolute Alcohol", "liposomal doxorubicin": "Doxorubicin", "caelyx": "Doxorubicin",
    "pegylated liposomal doxorubicin": "Doxorubicin", "doxil": "Doxorubicin", "myocet": "Doxorubicin",
}  # fmt: skip
#: Common allergens that are in none of the agents.
UNRELATED = (
    "penicillin|amoxicillin|ampicillin|cephalosporin|cephalosporins|cefazolin|ceftriaxone|sulfonamide|sulfonamides|"
    "sulfa|cotrimoxazole|erythromycin|clarithromycin|ciprofloxacin|levofloxacin|vancomycin|aspirin|ibuprofen|diclofenac|"
    "metamizole|paracetamol|acetaminophen|codeine|morphine|latex|pollen|grass|birch|house dust|dust mite|cat|dog|"
    "animal hair|nickel|bee|wasp|bee venom|wasp venom|insect venom|nuts|peanut|peanuts|hazelnut|walnut|milk|lactose|"
    "soy|wheat|gluten|strawberry|strawberries|kiwi|apple|gadolinium|plaster|adhesive tape|penizillin|polen|graminees|"
    "shellfish|seafood|fish"
).split("|")
_REACTION = re.compile(
    r"\b(?:anaphyla\w*|allerg\w*|hypersensitiv\w*|reactions?|shock|urticaria|hives|rash|exanthema?|angio-?o?edema|"
    r"intolerance|uberempfindlichkeit|severe|mild|moderate|known|to|against|gegen|with|after)\b|过敏|\([^)]*\)",
    re.I,
)
_NAME = re.compile(r"[^\W\d_][\w ./'-]{1,39}|[\u4e00-\u9fff]{1,10}")


@cache
def _table() -> dict[str, str]:
    """Every written name, in plain letters, to the name of the allergen."""
    named = {plain(word): group for group, words in GROUPS.items() for word in words.split("|")}
    return named | {plain(word): name for word, name in _OF_AGENTS.items()} | {plain(w): w for w in UNRELATED}


def allergen(text: str) -> str:
    """The name under which an allergy is kept: a group of the table, an agent, or the substance as written.

    Words for the reaction ("anaphylaxis to", "rash") are left away.

    Raises:
        ClinicalDataError: no name of a substance.
    """
    bare = " ".join(_REACTION.sub(" ", text).split()).strip(" ,.;:-")
    for written in (text, bare):
        if found := _table().get(plain(written)) or _table().get(plain(written).removesuffix("s")):
            return found
        try:
            return agent(written).name
        except UnknownAgentError:
            pass
    if not _NAME.fullmatch(bare or text):
        raise ClinicalDataError(
            what="An allergy must be the name of a substance",
            given=repr(text)[:80],
            remedy="Use " + ", ".join([*GROUPS, *vocabulary()]) + " or another name of at most 40 letters",
        )
    return (bare or text).lower()


def is_known(name: str) -> bool:
    """True if it can be said whether an allergy to it matters: a group, an agent, or a substance that is in none."""
    return name in GROUPS or name in vocabulary() or name in UNRELATED
