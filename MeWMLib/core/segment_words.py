"""What the name of a segment says: liver, tumour, vessel, another organ, something doubtful, or nothing.

A name is tumour or liver only if *every* word of it is known and fits: one word that is not known may be another organ
or a negation, and then nothing is taken for granted. What this module cannot tell is asked, by whoever reads a file.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal

#: Why a vessel is no part of the liver: aorta and vena cava.
GREAT_VESSEL = "a great vessel beside the liver"
Kind = Literal["liver", "tumour", "vessel", "other", "doubtful", "unknown"]


@dataclass(frozen=True)
class NameReading:
    """What a name says.

    Attributes:
        kind: "other" is surely neither liver nor tumour; "doubtful" holds words that contradict liver and tumour;
            "unknown" says nothing that is known.
        why: a few words for whoever has to answer.
    """

    kind: Kind
    why: str = ""


def _words(text: str) -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(text.split()) + r")\Z")


_LIVER = r"(?:livers?|hepar|foies?|lebern?|higado|figado|fegato|肝脏|肝臟|肝臓|肝|печень|печени)"
_TUMOUR = (
    r"(?:tumou?rs?|tumore[sn]?|tumori|tumeurs?|lesions?|lesione[s]?|lesioni|lesao|lesoes|la(?:e)?sion(?:en)?|hccs?|"
    r"hepatomas?|mass(?:es)?|metastas[ei]s?|metastasen|mets?|neoplasms?|neoplasias?|neoplasie|"
    r"(?:cholangio)?carcinomas?|carcinome?s?|karzinome?|cancers?|krebs|nodul[ei]s?|nodulos?|malignanc(?:y|ies)|iccs?|"
    r"crlms?|raumforderung(?:en)?|肿瘤|腫瘤|腫瘍|病灶|опухоль|опухоли)"
)
#: With a noun they say of what kind it is; alone they may speak of the whole liver ("metastatic liver").
_ADJECTIVE = r"(?:tumou?ral|tumou?rous|tumou?roese?s?|metastatic|neoplastic|cancerous|malignant|malignes?)"
_ORGAN = (
    r"(?:(?:left|right)?(?:kidneys?|lungs?|surrenal|adrenals?|femurs?|hips?)(?:gland)?|renal\w*|nephr\w*|spleens?|"
    r"splenic|lien|pancrea\w*|pulmon\w*|bronch\w*|suprarenal\w*|surrenal\w*|adrenal\w*|lymph\w*|bon(?:e|es|y)|osseous|"
    r"skelet\w*|vertebra\w*|intervertebral|spine|spinal|sacr(?:um|al)|ribs?|costal|cartilages?|sternum|sternal|skull|"
    r"femoral|humer\w+|scapula\w*|clavic\w*|pelvi[cs]|pelvises|colon\w*|colorectal|rect(?:um|al)|bowels?|intestin\w*|"
    r"duoden\w*|jejun\w*|ileum|ileal|c(?:a)?ecum|c(?:a)?ecal|appendix|gallbladders?|gall|bladders?|vesica|"
    r"biliary|bile|ducts?|choledoch\w*|stomachs?|gastric\w*|o?esophag\w*|brain\w*|cerebr\w*|cerebell\w*|prostat\w*|"
    r"uter(?:us|ine|i)|ovar\w*|cervi\w*|endometri\w*|testi\w*|breasts?|mamma\w*|thyroid\w*|hearts?|cardiac|myocard\w*|"
    r"atri(?:um|al|a)|ventric\w*|pericard\w*|trache\w*|muscles?|muscular|musculature|glute\w+|iliopsoas|psoas|"
    r"autochthon\w*|skin|cutaneous|subcutaneous|fat|adipose|body|trunks?|torso|head|neck|throat|face|eye\w*|nerves?|"
    r"mediastin\w*|pleur\w*|peritone\w*|retroperitone\w*|oment\w*|mesenter\w*|diaphragm\w*|ascites|air|ureter\w*|"
    r"urethra\w*|urin\w*|bladder|thym\w*|tongue|laryn\w*|pharyn\w*|parotid\w*|abdom\w*|thora\w*|chest|iliac\w*|"
    r"carotid|subclavian|brachiocephalic|jugular|coronary|celiac|coeliac|effusions?|wirbel\w*|niere[n]?|milz|"
    r"lunge[n]?|gallenblase|magen|knochen|darm|herz|reins?|poumons?|rate|vessie|estomac|rinon(?:es)?|bazo|pulmones?|"
    r"rene|reni|milza|polmon\w*)"
)
_LIVER_WORD, _TUMOUR_WORD = re.compile(_LIVER + r"\Z"), re.compile(_TUMOUR + r"\Z")
_ORGAN_WORD, _ADJECTIVE_WORD = re.compile(_ORGAN + r"\Z"), re.compile(_ADJECTIVE + r"\Z")
#: Written as one word, as German and some data sets do: "livertumor", "Lebermetastasen".
_LIVER_TUMOUR = re.compile(_LIVER + _TUMOUR + r"\Z")
#: Adjectives of the liver: with a tumour word they fit, alone they name no structure.
_OF_LIVER = _words(r"hepatic hepatisch\w* hepatiques? hepatica hepatico hepatocellular couinaud intrahepatic")
_PART_OF_LIVER = _words(r"parenchyma parenchym parenchyme lobes? lobar segments? caudate quadrate")
_VESSEL = _words(
    r"vessels? vascular vasculature veins? venous vena[e]? cava ivc svc aorta[s]? aortic arter(?:y|ies|ia|ial) "
    r"portal portalvein portalveins venacava pulmonaryartery"
)
_GREAT = _words(r"cava ivc aorta[s]? aortic venacava")
_HEALTHY = _words(r"parenchyma parenchym parenchyme parenchymal healthy normal gesund\w* sain sano")
_NEGATION = _words(
    r"without no non not minus free less excl\w* except\w* exclud\w* sans ohne sin senza kein\w* nicht frei "
    r"subtract\w* remov\w* outside extra extrahepatic extratumou?ral spared uninvolved unaffected unremarkable "
    r"negative absent nil none never anti pseudo un wo difference intra para"
)
_RIM = _words(
    r"peri\w* rims? margins? marginal borders? edges? rings? shells? halos? capsules? capsular boundar\w* "
    r"surround\w* adjacent near\w* around beside neighbou?r\w* surfaces? contours? outlines? background remnants? "
    r"remaining rest expan\w* dilat\w* grown beds? safety"
)
_DOUBT = _words(
    r"necro\w* nekro\w* ablat\w* lipiodol cyst\w* zyst\w* kyst\w* h(?:a)?emangiom\w* fnh adenom\w* abscess\w* "
    r"thromb\w* pvtt scars? (?:o)?edema\w* h(?:a)?emorrhag\w* bleed\w* biops\w* stents? tace tare embol\w* coils? "
    r"needles? drains? catheters? treated resect\w* resection post former prior previous old artifacts? artefacts? "
    r"possibl\w* suspect\w* suspicious questionable unsure uncertain maybe benign dead ptv ctv gtv itv dose gas "
    r"fibros\w* cirrho\w* steato\w* infarct\w* calcif\w* inflamm\w* h(?:a)?ematoma\w*"
)
_CYST = _words(r"cyst\w* zyst\w* kyst\w*")
_JOINING = _words(r"and with including include[sd]? incl inc plus und mit et avec con w y e or")
_HARMLESS = _words(
    r"\d+[a-d]? s\d+ [a-z] [ivx]+ segments? seg segm lobes? lobar left right l r upper lower middle mid central "
    r"posterior anterior superior inferior lateral medial dorsal ventral caudate quadrate dome whole total entire "
    r"all full masks? labels? segmentation roi manual auto automatic automated expert gt truth ground annotation "
    r"annotated prediction predicted pred final edited copy new reader rater observer primary secondary index "
    r"target main largest biggest dominant big small large first second third viable active enhancing focal "
    r"multifocal unifocal solid hypodense hypervascular of the in de du der des la le volume tissue baseline ct "
    r"patient case slicer totalsegmentator nnunet monai mewm lits msd target couinaud"
)
_FREE = r"(?:free|less|frei|los|excluded|removed|spared|negative)"
_ARTICLE = r"(?:(?:the|any|its|all) )?"
_NEGATED = re.compile(
    rf"\b(?:without|no|non|not|minus|excluding|excl|except|sans|ohne|sin|senza|wo|nicht) {_ARTICLE}"
    rf"(?:{_TUMOUR}|{_ADJECTIVE})(?=\s|\Z)|(?:(?<=\s)|\A){_TUMOUR} {_FREE}(?=\s|\Z)"
)
_GLUED = re.compile(
    rf"\b(non|not|anti|peri|para|intra|extra)({_TUMOUR}|{_ADJECTIVE})\b|\b({_TUMOUR})(less|free|frei|los)\b"
)


@cache
def read_name(name: str) -> NameReading:
    """Read the name of a segment; upper and lower case, separators, accents and the plural make no difference."""
    plain = unicodedata.normalize("NFKC", name).strip()
    reading = _read(_normal(plain))
    if reading.kind != "unknown":
        return reading
    # "KidneyTumorLeft": only where the name as one word says nothing, so that case alone never decides
    camel = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return _read(_normal(camel))


def _normal(text: str) -> str:
    """Words in lower case without accents, a space between them; signs that mean something become words."""
    text = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"(?<![^\W_])w\s*[/_.\- ]\s*o(?![^\W_])", " without ", text)
    text = re.sub(r"[+&/]", " and ", text)
    text = re.sub(r"\?", " maybe ", text)
    text = re.sub(r"(?<=\w)\s+[-\u2212\u2013\u2014]\s+(?=\w)|\u2212", " difference ", text)  # "liver - tumor"
    text = re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_]{2})", " ", text)
    text = " ".join(re.findall(r"[^\W_]+", text))
    return _GLUED.sub(lambda found: " ".join(part for part in found.groups() if part), text)


def _read(text: str) -> NameReading:
    if not text:
        return NameReading("unknown", "it has no name")
    if text == "background":
        return NameReading("other", "background")
    rest = _NEGATED.sub(" ", text)
    negated = rest != text
    words = rest.split()

    def any_of(pattern: re.Pattern[str]) -> list[str]:
        return [word for word in words if pattern.match(word)]

    liver = bool(any_of(_LIVER_WORD)) or bool(any_of(_LIVER_TUMOUR))
    of_liver = liver or bool(any_of(_OF_LIVER))
    tumour = any_of(_TUMOUR_WORD) + any_of(_LIVER_TUMOUR)
    organ, vessel, doubt = any_of(_ORGAN_WORD), any_of(_VESSEL), any_of(_DOUBT)
    against = any_of(_NEGATION) + any_of(_RIM)
    joined = any_of(_JOINING)
    known = (
        _LIVER_WORD,
        _LIVER_TUMOUR,
        _OF_LIVER,
        _TUMOUR_WORD,
        _ADJECTIVE_WORD,
        _HARMLESS,
        _HEALTHY,
        _JOINING,
        _VESSEL,
    )
    adjective = any_of(_ADJECTIVE_WORD)
    strange = [word for word in words if not any(pattern.match(word) for pattern in known)]
    if tumour:
        return _tumour_reading(
            organ, against + any_of(_HEALTHY), doubt, vessel, liver and bool(joined), negated, strange
        )
    if adjective or against:
        return NameReading("doubtful", f"the word {(adjective + against)[0]!r}")
    if doubt and not (organ and not of_liver and len(doubt) == len(any_of(_CYST))):
        return NameReading("doubtful", f"the word {doubt[0]!r}")
    if organ:
        if of_liver:
            return NameReading("doubtful", f"the liver and {organ[0]!r}")
        return NameReading("other", "another organ")
    if vessel:
        if strange:
            return NameReading("unknown", f"the word {strange[0]!r}")
        return NameReading(
            "vessel", GREAT_VESSEL if any_of(_GREAT) and not of_liver and "portal" not in words else "a vessel"
        )
    if liver or (of_liver and any_of(_PART_OF_LIVER)):
        return NameReading("liver") if not strange else NameReading("unknown", f"the word {strange[0]!r}")
    if negated:
        return NameReading("doubtful", "a negation")
    return NameReading("unknown", "the name says nothing that MeWM knows")


def _tumour_reading(
    organ: list[str],
    against: list[str],
    doubt: list[str],
    vessel: list[str],
    liver_too: bool,
    negated: bool,
    strange: list[str],
) -> NameReading:
    """What a name with a tumour word in it says."""
    if organ:
        return NameReading("doubtful", f"a tumour, but of what? The name holds {organ[0]!r}")
    contrary = against or doubt or vessel
    if contrary:
        return NameReading("doubtful", f"a tumour, and the word {contrary[0]!r}")
    if liver_too:
        return NameReading("doubtful", "liver and tumour in one segment")
    if negated:
        return NameReading("doubtful", "a tumour, and none")
    if strange:
        return NameReading("unknown", f"a tumour, but the word {strange[0]!r} is not known")
    return NameReading("tumour")
