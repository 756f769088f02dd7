"""tau(a): a protocol as one condition vector. The order of actions does not matter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from MeWMLib.core.protocol import Protocol, agent, vocabulary

FEATURES = 3


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


class ActionEncoder(nn.Module):
    """tau(a) = sigma2(sum_h sigma1([c_h, dose_h])) with a learnable concept embedding c for each agent.

    The paper (eq. 2 of arXiv 2506.02327) concatenates the actions; a sum over the set is taken here, which makes the
    order of
    actions irrelevant by construction. The frozen text embedding phi(a) of the paper is not part of this size.

    Args:
        agents: how many agents there are.
        width: of the condition vector.
    """

    def __init__(self, agents: int, width: int) -> None:
        super().__init__()
        self.concepts = nn.Embedding(agents, width)
        self.sigma1 = nn.Sequential(nn.Linear(width + FEATURES - 1, width), nn.SiLU(), nn.Linear(width, width))
        self.sigma2 = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.unknown = nn.Parameter(torch.zeros(width))

    def forward(self, actions: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Condition vectors.

        Args:
            actions: (N, A, 3) from `encode_protocols`.
            dropped: (N,) bool; True puts the learnt "unknown action" in place (classifier-free guidance).

        Returns:
            (N, width).
        """
        n, count, _ = actions.shape
        concepts = self.concepts.weight[None].expand(n, count, -1)
        tokens = self.sigma1(torch.cat([concepts, actions[..., 1:]], -1))  # (N, A, width)
        out = self.sigma2((tokens * actions[..., :1]).sum(1))  # (N, width)
        if dropped is not None:
            out = torch.where(dropped[:, None], self.unknown[None].expand_as(out), out)
        return out


def known_agents() -> list[str]:
    """All agents of the vocabulary in their fixed order, for a new network."""
    return list(vocabulary())
