"""The response head: what an action does to a tumour, as the numbers `TACE.response`, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from MeWMLib.core.treatment import TACE
from MeWMLib.dynamics.actions import ActionEncoder

#: Width of the layer that reads the appearance, and the share of it that is hidden in training.
READ, DROPOUT = 256, 0.15
#: Numbers of the appearance are clamped to this many deviations from those of the training patients.
_FAR = 4.0


class ResponseHead(nn.Module):
    """Predicts the response from the action and the tumour's appearance.

    It shares nothing with the U-Net, so that it can learn from many patients whose outcome was never drawn.

    Args:
        agents: the agents that it knows, in order.
        appearance: numbers of `appearance.appearance`.
        width: of its layers.
        text: frozen text embeddings (A, T), or None (ablation).
    """

    middle: Tensor
    scale: Tensor

    def __init__(self, agents: Sequence[str], appearance: int, width: int, text: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(appearance))
        self.register_buffer("scale", torch.ones(appearance))
        self.agents = tuple(agents)
        self.actions = ActionEncoder(len(agents), width, text)
        self.traits = nn.Sequential(
            nn.Linear(appearance, READ), nn.SiLU(), nn.Dropout(DROPOUT),
            nn.Linear(READ, width), nn.SiLU(), nn.Dropout(DROPOUT), nn.LayerNorm(width),
        )  # fmt: skip
        self.joint = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.out = nn.Linear(width, len(TACE.response))

    def fit_scale(self, appearances: Tensor) -> None:
        """Set middle and deviation from the appearances (N, F) of the training patients."""
        self.middle.copy_(appearances.mean(0))
        self.scale.copy_(appearances.std(0).nan_to_num() + 1e-5)

    def forward(self, appearance: Tensor, actions: Tensor) -> Tensor:
        """Standardised response (K * N, 3) of K tumours (K, F) to N actions each (K, N, A, 3)."""
        seen = ((appearance - self.middle) / self.scale).clamp(-_FAR, _FAR)
        count = actions.shape[1]
        traits = self.traits(seen).repeat_interleave(count, 0)
        tau = self.actions(actions.flatten(0, 1))
        out: Tensor = self.out(self.joint(torch.cat([tau, traits, tau * traits], 1)))
        return out
