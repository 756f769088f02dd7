"""The map network: a conditional denoiser of coarse physical maps, on cells of 8 mm that hold 2^3 cubes each."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from MeWMLib.core.bundle import require_sizes
from MeWMLib.core.coarse_maps import CELL
from MeWMLib.core.protocol import agent
from MeWMLib.dynamics.actions import ActionEncoder, known_agents
from MeWMLib.dynamics.appearance import features
from MeWMLib.dynamics.layers import Attention, Block, Conv3d, time_features, u_net
from MeWMLib.dynamics.map_channels import ASKED, DRAWN, SEEN, to_cells
from MeWMLib.dynamics.response import FEATURES
from MeWMLib.dynamics.response_head import ResponseHead

#: Numbers of a session beside its protocol: logarithm of the weeks, whether they are known, arterial phase, whether
#: the territory is known.
SESSION = 4


@dataclass(frozen=True)
class MapConfig:
    """Sizes of the map network.

    Attributes:
        widths: channels at each resolution, finest first.
        condition: width of the condition vector.
        agents: the agents that it knows, in order.
        response_spread: deviation of the truth around the response head (see `response.deviation`).
    """

    widths: tuple[int, ...] = (40, 80, 160)
    condition: int = 128
    agents: tuple[str, ...] = field(default_factory=lambda: tuple(known_agents()))
    response_spread: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_sizes(self, {"widths": (8, 2048), "condition": (1, 4096)}, "the map network")
        for name in self.agents:
            agent(name)


@dataclass(frozen=True, eq=False)
class Given:
    """What the network is told, for N rows.

    Attributes:
        seen: (N, SEEN, d, h, w) cubes of the patient (`map_channels.patient_channels`).
        fed: (N, 1, d, h, w) share of each cube that is fed; 0 where the territory is not known.
        session: (N, SESSION).
        actions: (N, A, 3).
        response: (N, FEATURES) of `response.features`; 0 where it is hidden.
        hidden: (N,) bool, the protocol is hidden and its response is 0.
    """

    seen: Tensor
    fed: Tensor
    session: Tensor
    actions: Tensor
    response: Tensor
    hidden: Tensor


def session_numbers(weeks: Tensor, arterial: Tensor, fed_known: Tensor) -> Tensor:
    """Numbers (N, SESSION) of sessions; weeks (N,) that are not known are NaN."""
    known = torch.isfinite(weeks)
    log = torch.where(known, (weeks.nan_to_num(5.0).clamp_min(0.5) / 5).log(), torch.zeros_like(weeks))
    return torch.stack([log, known.float(), arterial.float(), fed_known.float()], -1)


class MapNetwork(nn.Module):
    """Predicts clean maps from their noisy version, or from nothing: then what is expected.

    At time 0 with maps of zeros, where there is no noise to clean, it was trained to give the mean of all outcomes that
    fit what it is told.

    Args:
        config: sizes.
    """

    def __init__(self, config: MapConfig) -> None:
        super().__init__()
        self.config = config
        w, c = config.widths, config.condition
        self.actions = ActionEncoder(len(config.agents), c)
        self.head = ResponseHead(config.agents, features(1), c)
        self.told = nn.Linear(FEATURES + SESSION, c)
        self.time = nn.Sequential(nn.Linear(64, c), nn.SiLU(), nn.Linear(c, c))
        inputs = (DRAWN + SEEN + 1) * CELL**3 + FEATURES + SESSION
        self.stem = Conv3d(inputs, w[0], 3, padding=1)
        self.down = nn.ModuleList(Block(width, width, c) for width in w)
        self.shrink = nn.ModuleList(Conv3d(a, b, 2, stride=2) for a, b in zip(w[:-1], w[1:], strict=True))
        self.middle = Attention(w[-1])
        self.bottom = Block(w[-1], w[-1], c)
        pairs = list(zip(w[:-1], w[1:], strict=True))[::-1]
        self.grow = nn.ModuleList(Conv3d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(Block(2 * a, a, c) for a, _ in pairs)
        self.out = nn.Sequential(nn.GroupNorm(8, w[0]), nn.SiLU(), Conv3d(w[0], ASKED * CELL**3, 3, padding=1))
        nn.init.zeros_(self.out[-1].weight)
        nn.init.zeros_(self.out[-1].bias)

    @property
    def divides(self) -> int:
        """Cells along a side must be a multiple of this."""
        return int(2 ** len(self.shrink))

    def forward(self, noisy: Tensor, time: Tensor, given: Given) -> Tensor:
        """Predict clean maps.

        Args:
            noisy: (N, DRAWN * CELL^3, d, h, w) cells at `time`.
            time: (N,) 0 is noise, 1 is data.
            given: what is known.

        Returns:
            (N, ASKED * CELL^3, d, h, w) cells.
        """
        told = torch.cat([given.response, given.session], 1)
        condition = self.actions(given.actions, given.hidden) + self.told(told) + self.time(time_features(time, 64))
        condition = nn.functional.silu(condition)
        planes = told[:, :, None, None, None].expand(-1, -1, *noisy.shape[2:])
        x = self.stem(torch.cat([noisy, to_cells(given.seen), to_cells(given.fed), planes], 1))
        out: Tensor = self.out(u_net(self, x, condition))
        return out
