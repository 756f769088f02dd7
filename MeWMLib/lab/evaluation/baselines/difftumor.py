"""DiffTumor: MeWM's own network that is never told what is done. Row `difftumor`.

After Chen et al., Towards Generalizable Tumor Synthesis, CVPR 2024 (arXiv 2402.19470): a latent diffusion model whose
conditions are the image and the tumour's mask alone. Network, data, budget and sampler are MeWM's, so that what the
action is worth is all that differs: no action, no attenuation that follows from it, no contrast of combos, and no head
that learns the response from the action.

What differs from the paper: the tumour before treatment is seen (the paper paints tumours into healthy liver, where
there is nothing to see), and the autoencoder is MeWM's. The row `action_blind` is the same network trained with the
attenuated image as an input that always equals the image; the two should agree.
"""

from __future__ import annotations

from typing import Any

ROW = "difftumor"
#: Settings of `mewm train dynamics` (the file Resources/Configs/difftumor.json) that make this baseline.
SETTINGS: dict[str, Any] = {
    "action_blind": True,
    "text": False,
    "attenuation": False,
    "contrastive_weight": 0.0,
    "response": False,
    "fate": False,
    "response_weight": 0.0,
}
#: It is simulated without its action: one image for all protocols.
KNOWS_ACTION = False
