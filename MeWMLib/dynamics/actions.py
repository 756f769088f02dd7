"""tau(a): a protocol as one condition vector. The order of actions does not matter.

`ActionEncoder` reads agents and doses; `ReportEncoder` reads the embedding of a text instead (baseline `textomorph`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from MeWMLib.core.protocol import Protocol, agent, vocabulary

FEATURES = 3
#: The agent that stays in the dead tumour and is visible there.
OIL = "Lipiodol"


def encode_protocols(protocols: Sequence[Protocol], agents: Sequence[str]) -> Tensor:
    """Protocols to numbers (N, A, 3): present, dose stated, dose relative to the middle of the usual range (0 there).

    Args:
        protocols: any, partial and empty ones included.
        agents: the agents that the network knows, in its order (it is stored in the bundle).
    """
    index = {name: n for n, name in enumerate(agents)}
    out = torch.zeros(len(protocols), len(agents), FEATURES)
    for row, protocol in zip(out, protocols, strict=True):
        for action in protocol.actions:
            features = row[index[action.agent]]
            features[0] = 1.0
            if action.dose is not None:
                known = agent(action.agent)
                features[1] = 1.0
                features[2] = 2 * action.dose / (known.dose_low + known.dose_high) - 1
    return out


def has_lipiodol(actions: Tensor, agents: Sequence[str]) -> Tensor:
    """Which protocols (N,) bool hold Lipiodol, from `encode_protocols`."""
    if OIL not in agents:
        return torch.zeros(len(actions), dtype=torch.bool, device=actions.device)
    return actions[:, list(agents).index(OIL), 0] > 0


class ActionEncoder(nn.Module):
    """tau(a) = sigma2([sum_h sigma1(phi(a_h)), sum_h c(a_h, dose_h)]), eq. 1 of arXiv 2506.02327.

    phi is a frozen text embedding of each agent, c a learnable concept embedding of agent and dose. The paper
    concatenates the actions; they are summed here, which makes their order irrelevant by construction.

    Args:
        agents: how many agents there are.
        width: of the condition vector.
        text: frozen text embeddings (A, T), or None for an encoder without text (ablation).
    """

    phi: Tensor

    def __init__(self, agents: int, width: int, text: Tensor | None = None) -> None:
        super().__init__()
        self.concepts = nn.Embedding(agents, width)
        self.concept = nn.Sequential(nn.Linear(width + FEATURES - 1, width), nn.SiLU(), nn.Linear(width, width))
        self.has_text = text is not None
        if text is not None:
            self.register_buffer("phi", text.float())
            self.sigma1 = nn.Sequential(nn.Linear(text.shape[1], width), nn.SiLU(), nn.Linear(width, width))
        inputs = width * (2 if self.has_text else 1)
        self.sigma2 = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))
        self.unknown = nn.Parameter(torch.zeros(width))

    def forward(self, actions: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Condition vectors.

        Args:
            actions: (N, A, 3) from `encode_protocols`.
            dropped: (N,) bool; True uses the learnt "unknown action" instead (classifier-free guidance).

        Returns:
            (N, width).
        """
        n, count, _ = actions.shape
        present = actions[..., :1]
        concepts = self.concepts.weight[None].expand(n, count, -1)
        parts = [(self.concept(torch.cat([concepts, actions[..., 1:]], -1)) * present).sum(1)]  # (N, width)
        if self.has_text:
            parts.append((self.sigma1(self.phi)[None] * present).sum(1))
        out = self.sigma2(torch.cat(parts, 1))  # (N, width)
        return _hidden(out, self.unknown, dropped)


class ReportEncoder(nn.Module):
    """Condition vector of a report's embedding, in place of `ActionEncoder` (`lab.reports` makes the embeddings).

    Args:
        embedding: numbers in the frozen embedding of a text.
        width: of the condition vector.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, embedding: int, width: int) -> None:
        super().__init__()
        # Unit vectors of similar texts differ little; without their common part they would all look alike.
        self.register_buffer("centre", torch.zeros(embedding))
        self.register_buffer("spread", torch.ones(()))
        self.project = nn.Sequential(
            nn.Linear(embedding, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.unknown = nn.Parameter(torch.zeros(width))

    def fit(self, embeddings: NDArray[np.float32]) -> None:
        """Set the centre and spread from training embeddings (N, W), before training."""
        rows = torch.from_numpy(np.asarray(embeddings, np.float32))
        self.centre.copy_(rows.mean(0))
        # standardised to about unit variance in each number
        self.spread.copy_((rows - rows.mean(0)).square().mean().sqrt().clamp_min(1e-6))

    def forward(self, reports: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Condition vectors.

        Args:
            reports: (N, W) embeddings.
            dropped: (N,) bool; True uses the learnt "unknown report" instead (classifier-free guidance).

        Returns:
            (N, width).
        """
        return _hidden(self.project((reports - self.centre) / self.spread), self.unknown, dropped)


def _hidden(vectors: Tensor, unknown: Tensor, dropped: Tensor | None) -> Tensor:
    """Vectors (N, width), those that are dropped (N,) replaced by `unknown` (width,)."""
    return vectors if dropped is None else torch.where(dropped[:, None], unknown[None].expand_as(vectors), vectors)


def known_agents() -> list[str]:
    """All agents of the vocabulary in their fixed order, for a new network."""
    return list(vocabulary())
