"""TextoMorph: MeWM's own network, given the treatment as free text. Row `textomorph`.

After Li et al., Text-Driven Tumor Synthesis (TextoMorph), arXiv 2412.18589: a latent diffusion model steered by the
frozen embedding of a report. Network, data, budget and sampler are MeWM's; the text of an operation report
(`lab.reports.report_text`) takes the place of the combo of agents and doses, its embedding that of tau(a). There
is no attenuation by embolics, no contrast of combos and no response head, which all need to know what an agent is.

What differs from the paper: the text tells of the treatment and not of the tumour's look, since that is what is to be
simulated; the sentence encoder is MiniLM (frozen, the one that made MeWM's own text embeddings); the contrast between
descriptions of one tumour is left out, as no two reports tell of one CT here.
"""

from __future__ import annotations

from typing import Any

ROW = "textomorph"
#: Settings of `mewm train dynamics` (the file Resources/Configs/textomorph.json) that make this baseline.
SETTINGS: dict[str, Any] = {
    "reports": True,
    "text": False,
    "attenuation": False,
    "contrastive_weight": 0.0,
    "response": False,
    "fate": False,
    "response_weight": 0.0,
}
#: It is told of the action, by a report.
KNOWS_ACTION = True
