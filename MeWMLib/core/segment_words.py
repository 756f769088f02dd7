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

from MeWMLib.core.segment_scripts import in_english

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
        hint: of an unknown name, what it would be if the word that is not known meant nothing; a code that says
            something else contradicts it.
    """

    kind: Kind
    why: str = ""
    hint: Kind | Literal[""] = ""


def _words(text: str) -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(text.split()) + r")\Z")


_LIVER = r"(?:livers?|liv|hepar|foies?|lebern?|lebergewebe|lever|higado|figado|fegato|watroba|karaciger|печень|печени)"
_TUMOUR = (
    r"(?:tumou?rs?|tumore[sn]?|tumori|tumeurs?|less?ions?|lesione[s]?|lesioni|lesao|lesoes|la(?:e)?sion(?:en)?|hccs?|"
    r"hepatomas?|hepatoblastomas?|mass(?:es?)?|metastas[ei]s?|metastasen|mets?|neoplasms?|neoplasias?|neoplasie|chcs?|"
    r"(?:hepato|cholangio)?(?:carcinomas?|carcinome?s?|karzinome?)|(?:leberzell)karzinome?|cancers?|krebs|nodul[ei]s?|"
    r"nodulos?|malignanc(?:y|ies)|iccs?|crlms?|raumforderung(?:en)?|(?:rund)?herde?|опухоль|опухоли)"
)
#: With a noun they say of what kind it is; alone they may speak of the whole liver ("metastatic liver").
_ADJECTIVE = r"(?:tumou?ral|tumou?rous|tumou?roese?s?|metastatic|neoplastic|cancerous|malignant|malignes?)"
_ORGAN = (
    r"(?:(?:left|right)?(?:kidneys?|lungs?|surrenal|adrenals?|femurs?|hips?)(?:gland)?|renal\w*|nephr\w*|spleens?|"
    r"splenic|lien|pancrea\w*|pulmon\w*|bronch\w*|suprarenal\w*|surrenal\w*|adrenal\w*|lymph\w*|bon(?:e|es|y)|osseous|"
    r"skelet\w*|vertebra\w*|intervertebral|spine|spinal|sacr(?:um|al)|ribs?|costal|cartilages?|sternum|sternal|skull|"
    r"femoral|humer\w+|scapula\w*|clavic\w*|pelvi[cs]|pelvises|colon\w*|colorectal|rect(?:um|al)|bowels?|intestin\w*|"
    r"duoden\w*|jejun\w*|ileum|ileal|c(?:a)?ecum|c(?:a)?ecal|appendix|gallbladders?|gall|bladders?|vesica|"
    r"biliary|bile|ducts?|choledoch\w*|stomachs?|gastric\w*|o?esophag\w*|brain\w*|(?:intra)?cerebr\w*|cerebell\w*|prostat\w*|"
    r"uter(?:us|ine|i)|ovar\w*|cervi\w*|endometri\w*|testi\w*|breasts?|mamma\w*|thyroid\w*|hearts?|cardiac|myocard\w*|"
    r"atri(?:um|al|a)|ventric\w*|pericard\w*|trache\w*|muscles?|muscular|musculature|glute\w+|iliopsoas|psoas|"
    r"autochthon\w*|skin|cutaneous|subcutaneous|fat|adipose|body|trunks?|torso|head|neck|throat|face|eye\w*|nerves?|"
    r"mediastin\w*|pleur\w*|peritone\w*|retroperitone\w*|oment\w*|mesenter\w*|diaphragm\w*|ascites|air|ureter\w*|"
    r"urethra\w*|urin\w*|bladder|thym\w*|tongue|laryn\w*|pharyn\w*|parotid\w*|abdom\w*|thora\w*|chest|iliac\w*|"
    r"carotid|subclavian|brachiocephalic|jugular|coronary|celiac|coeliac|effusions?|wirbel\w*|niere[n]?|milz|"
    r"rkid|lkid|rag|lag|rad|lad|eso|sto|airways?|hippocamp\w*|lunge[n]?|gallenblase|galle|pankreas|magen|knochen|darm|herz|reins?|poumons?|rate|vessie|estomac|rinon(?:es)?|bazo|pulmones?|"
    r"rene|reni|milza|polmon\w*)"
)
_LIVER_WORD, _TUMOUR_WORD = re.compile(_LIVER + r"\Z"), re.compile(_TUMOUR + r"\Z")
_ORGAN_WORD, _ADJECTIVE_WORD = re.compile(_ORGAN + r"\Z"), re.compile(_ADJECTIVE + r"\Z")
#: Written as one word, as German and some data sets do: "livertumor", "Lebermetastasen".
_LIVER_TUMOUR = re.compile(_LIVER + _TUMOUR + r"\Z")
#: Adjectives of the liver: with a tumour word they fit, alone they name no structure.
_OF_LIVER = _words(
    r"hepatic hepatisch\w* hepatiques? hepatica hepatico epatic[oaie] hepatocellular hepatozellular\w* "
    r"hepatocellulaires? hepatocelular(?:es)? epatocellular[ei] couinaud intrahepatic"
)
_PART_OF_LIVER = _words(
    r"parenchyma parenchym parenchyme parenquima parenchima lobes? lobar lobo lappen segments? caudate quadrate "
    r"leberparenchym lebersegmente? leberlappen"
)
#: With these no liver is needed to say of what they are a part.
_GERMAN_PART = _words(r"leberparenchym lebersegmente? leberlappen")
_VESSEL = _words(
    r"vessels? vasculature veins? vena[es]? vene[n]? cava ivc svc aorta[s]? arota aortic arter(?:y|ies|ia|ie|ien|ias) "
    r"portalvein portalveins venacava postcava pulmonaryartery gef(?:a|ae)sse lebergef(?:a|ae)sse pfortader "
    r"portalvene[n]? lebervene[n]? leberarterie[n]? hohlvene[n]? veines? arteres? vaisseaux? vasos?"
)
#: They say of which kind a vessel is; without one they are as good as a contrast phase ("liver venous").
_OF_VESSEL = _words(r"vascular venous arterial portal porta porte blood")
_GREAT = _words(r"cava ivc aorta[s]? arota aortic venacava postcava hohlvene[n]?")
_HEALTHY = _words(
    r"parenchyma parenchym parenchyme parenquima parenchima parenchymal leberparenchym healthy normal gesund\w* sain "
    r"sano"
)
_NEGATION = _words(
    r"without no non not minus free less excl\w* except\w* exclud\w* sans ohne sin senza kein\w* nicht frei "
    r"subtract\w* remov\w* outside extra extrahepatic extratumou?ral spared uninvolved unaffected unremarkable "
    r"negative absent nil none never anti pseudo un wo difference intra para"
)
_RIM = _words(
    r"peri(?!card|ton)\w* rims? margins? marginal borders? edges? rings? shells? halos? capsules? capsular boundar\w* "
    r"surround\w* adjacent near\w* around beside neighbou?r\w* surfaces? contours? outlines? background remnants? "
    r"remaining rest expan\w* dilat\w* grown beds? safety"
)
_DOUBT = _words(
    r"necro\w* nekro\w* ablat\w* lipiodol cyst\w* zyst\w* kyst\w* h(?:a)?emangiom\w* fnh adenom\w* abscess\w* "
    r"thromb\w* pvtt scars? (?:o)?edema\w* h(?:a)?emorrhag\w* bleed\w* biops\w* stents? tace tare embol\w* coils? "
    r"needles? drains? catheters? treated resect\w* resection post former prior previous old artifacts? artefacts? "
    r"possibl\w* suspect\w* suspicious questionable unsure uncertain maybe benign dead ptv ctv gtv itv dose gas "
    r"fibros\w* cirrho\w* steato\w* infarct\w* calcif\w* inflamm\w* h(?:a)?ematoma\w* dysplas\w* regenerat\w*"
)
#: What an organ may have without being less of an organ.
_IN_ORGAN = _words(r"cyst\w* zyst\w* kyst\w* h(?:a)?emorrhag\w*")
_JOINING = _words(r"and with including include[sd]? incl inc plus und mit et avec con w y e or")
_HARMLESS = _words(
    r"\d+[a-d]? s\d+ [a-z] [ivx]+[ab]? segments? seg segm lobes? lobar lobo lappen left right l r upper lower middle "
    r"mid central posterior anterior superior inferior lateral medial dorsal ventral caudate quadrate dome whole total "
    r"entire all full rechte?[nrs]? linke?[nrs]? gauche droite? derech[oa] izquierd[oa] gesamte?[nrs]? ganze[nrs]? "
    r"entiere? masks? labels? segmentation roi manual auto automatic automated expert gt truth ground annotation "
    r"annotated prediction predicted pred final edited copy new reader rater observer main largest biggest big small "
    r"large first second third of the in de du der des la le volume tissue baseline pretreatment preop ct patient "
    r"case slicer totalsegmentator nnunet monai mewm lits msd couinaud comma"
)
#: They say which lesion is meant; of a liver without a word for a lesion they say that it may be one.
_OF_LESION = _words(
    r"primary secondary index target dominant viable active enhancing focal multifocal unifocal solid hypodense "
    r"hypervascular satellite daughter subcapsular exophytic infiltrati(?:ve|ng) bilobar solitary recurrent "
    r"neuroendocrine"
)
_LOBE = _words(r"lobes? lobar")
#: A lung has such lobes, a liver has not.
_LUNG_LOBE = _words(r"upper lower middle mid superior inferior")
_BACKGROUND = frozenset({"background", "hintergrund", "fond", "fondo", "sfondo"})
_FREE = r"(?:free|less|frei(?:e[mnrs]?)?|los(?:e[mnrs]?)?|excluded|removed|spared|negative)"
_ARTICLE = r"(?:(?:the|any|its|all) )?"
_NEGATED = re.compile(
    rf"\b(?:without|no|non|not|minus|excluding|excl|except|sans|ohne|sin|senza|wo|nicht) {_ARTICLE}"
    rf"(?:{_TUMOUR}|{_ADJECTIVE})(?=\s|\Z)|(?:(?<=\s)|\A){_TUMOUR} {_FREE}(?=\s|\Z)"
)
_GLUED = re.compile(
    rf"\b(non?|not|anti|peri|para|intra|extra)({_TUMOUR}|{_ADJECTIVE})\b|\b({_TUMOUR})(less|free|frei\w*|los\w*)\b|"
    rf"\b({_LIVER}?{_TUMOUR}|{_LIVER})(masks?|seg|segmentation|labels?|roi|gt)\b"
)
#: "no. 1" and "Nr 3" after a word: a number, no negation; a bare "no" only where nothing follows the number.
_NUMBERED = re.compile(r"(?<=\w) (?:nr|num|number|(?:no|n)(?= \d+[a-d]?\Z))(?= \d)")
_PHASE = re.compile(
    r"(?:(?:early|late|portal|venous|portalvenous|arterial|delayed|native|plain|pv|art) )+"
    r"(?:phase|scan|series|ct)(?= |\Z)"
)
#: Vertebrae and the numbers that people give to lesions look the same: "T12", "L1". They stay one word, which is asked.
_SPLIT = re.compile(
    r"(?<![^\W_])(?:th?\d|th?1[0-2]|l[1-5]|c[1-7])(?![^\W_])|(?<=[^\W\d_])()(?=\d)|(?<=\d)()(?=[^\W\d_]{2})"
)
#: Words that leave a name what it is.
_KNOWN = (
    *(_LIVER_WORD, _LIVER_TUMOUR, _OF_LIVER, _PART_OF_LIVER, _TUMOUR_WORD, _ADJECTIVE_WORD, _OF_LESION, _HARMLESS),
    *(_HEALTHY, _JOINING, _VESSEL, _OF_VESSEL),
)
_SUFFIX = re.compile(r"(?:\.(?:nii|gz|nrrd|mha|mhd|seg|stl|vtk|vtp|dcm))+\Z")
#: Where a dash does not take anything away: on one side of it is nothing but a place or a number.
_PLACE = r"(?:(?:segments?|seg|segm|lobe|left|right|s|[ivx]+[ab]?|\d+[a-d]?)(?: |\Z))+"
_MERE_DASH = re.compile(rf"(?:\A({_PLACE})difference (?!{_LIVER}(?= |\Z)))|(?: difference(?= {_PLACE}\Z))")


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
    text = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    text = _SUFFIX.sub("", "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf"))
    text = in_english(text)
    text = re.sub(r"(?<![^\W_])w\s*[/_.\- ]\s*o(?![^\W_])", " without ", text)
    text = re.sub(r"[+&/|;\u222a\u2229]", " and ", text)
    text = re.sub(r"\?", " maybe ", text)
    # "liver - tumor", "liver -tumor", the set difference and the minus sign, but not "Lesion -2"
    text = re.sub(
        r"(?<=\w)[\s_]+[-\u2013\u2014][\s_]+(?=\w)|(?<=[^\W_])\s+-(?=[^\W\d_])|[\u2212\u2216\u29f5\\]",
        " difference ",
        text,
    ).replace(",", " comma ")
    text = _SPLIT.sub(lambda found: found[0] or " ", text)
    text = " ".join(re.findall(r"[^\W_]+", text))
    text = _GLUED.sub(lambda found: " ".join(part for part in found.groups() if part), text)
    text = _PHASE.sub("", _NUMBERED.sub("", text))
    if not re.search(rf"\b{_LIVER}\b", text):
        text = _MERE_DASH.sub(lambda found: found[1] or "", text)
    return " ".join(text.removesuffix(" pre").split())


def _read(text: str) -> NameReading:
    if not text:
        return NameReading("unknown", "it has no name")
    if text in _BACKGROUND:
        return NameReading("other", "background")
    rest = _NEGATED.sub(" ", text)
    negated = rest != text
    words = rest.split()

    def any_of(*patterns: re.Pattern[str]) -> list[str]:
        return [word for word in words if any(pattern.match(word) for pattern in patterns)]

    liver = bool(any_of(_LIVER_WORD, _LIVER_TUMOUR))
    of_liver = liver or bool(any_of(_OF_LIVER, _GERMAN_PART))
    part = of_liver and bool(any_of(_PART_OF_LIVER))
    organ, vessel, doubt = any_of(_ORGAN_WORD), any_of(_VESSEL), any_of(_DOUBT)
    of_vessel, of_lesion = any_of(_OF_VESSEL), any_of(_OF_LESION)
    against, adjective = any_of(_NEGATION, _RIM), any_of(_ADJECTIVE_WORD)
    strange = [word for word in words if not any(pattern.match(word) for pattern in _KNOWN)]
    if any_of(_TUMOUR_WORD, _LIVER_TUMOUR):
        joined = liver and bool(any_of(_JOINING))
        contrary = against + any_of(_HEALTHY) + doubt + vessel + of_vessel
        if not of_liver and any_of(_LOBE) and any_of(_LUNG_LOBE):
            strange = strange + any_of(_LUNG_LOBE)
        return _tumour_reading(organ, contrary, joined, negated, strange)
    if adjective or against:
        return NameReading("doubtful", f"the word {(adjective + against)[0]!r}")
    if doubt and not (organ and not of_liver and len(doubt) == len(any_of(_IN_ORGAN))):
        return NameReading("doubtful", f"the word {doubt[0]!r}")
    if organ:
        if of_liver:
            return NameReading("doubtful", f"the liver and {organ[0]!r}")
        return NameReading("other", "another organ")
    if vessel:
        if strange:
            return NameReading("unknown", f"the word {strange[0]!r}", "vessel")
        if (liver or part) and any(word == "comma" or _JOINING.match(word) for word in words):
            return NameReading("doubtful", "liver and vessel in one segment")
        return NameReading(
            "vessel", GREAT_VESSEL if any_of(_GREAT) and not of_liver and not any_of(_OF_VESSEL) else "a vessel"
        )
    if liver or part:
        if of_lesion:
            return NameReading("doubtful", f"the word {of_lesion[0]!r}")
        unclear = strange + of_vessel
        return NameReading("unknown", f"the word {unclear[0]!r}", "liver") if unclear else NameReading("liver")
    if negated:
        return NameReading("doubtful", "a negation")
    return NameReading("unknown", "the name says nothing that MeWM knows")


def _tumour_reading(
    organ: list[str], contrary: list[str], liver_too: bool, negated: bool, strange: list[str]
) -> NameReading:
    """What a name with a tumour word in it says."""
    if organ:
        return NameReading("doubtful", f"a tumour, but of what? The name holds {organ[0]!r}")
    if contrary:
        return NameReading("doubtful", f"a tumour, and the word {contrary[0]!r}")
    if liver_too:
        return NameReading("doubtful", "liver and tumour in one segment")
    if negated:
        return NameReading("doubtful", "a tumour, and none")
    if strange:
        return NameReading("unknown", f"a tumour, but it is not sure what {strange[0]!r} means", "tumour")
    return NameReading("tumour")
