"""The conditional denoiser: a small 3D U-Net on latents, modulated by the action, the time and the voxel size."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from MeWMLib.core.bundle import require_sizes
from MeWMLib.core.errors import BundleError
from MeWMLib.core.protocol import agent
from MeWMLib.dynamics.actions import ActionEncoder, ReportEncoder, known_agents
from MeWMLib.dynamics.appearance import features
from MeWMLib.dynamics.layers import Attention, Block, time_features, u_net
from MeWMLib.dynamics.maps import MASKS, TOUCHED, TRAIT_MASKS
from MeWMLib.dynamics.response import FEATURES
from MeWMLib.dynamics.response_head import ResponseHead


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the denoiser.

    Attributes:
        latent: channels of the latent.
        widths: channels at each resolution, finest first.
        condition: width of the condition vector.
        agents: the agents that it knows, in order.
        change_scale: standard deviation of each latent channel's change inside treated tumours, by which changes are
            divided.
        text: width of the frozen text embeddings of the agents; 0 for none (ablation).
        attenuation: True if the attenuated latent is an input (ablation: False).
        occlusion: share of the flow that each embolic stops on average, which gives the expected attenuation level of
            a protocol; fitted on the training cohort.
        response: True if the U-Net is conditioned on the response (ablation: False).
        fate: weights of the maps of order and place (`maps.tumour_maps`), fitted on the training cohort; empty leaves
            these maps out (ablation).
        response_spread: deviation of the truth around the response head (see `response.deviation`), from which replicas
            are drawn; empty for none.
        reports: numbers in the embedding of an operation report that describes the treatment to the U-Net (baseline
            `textomorph`); with 0 agents and doses describe it.
    """

    latent: int = 16
    widths: tuple[int, ...] = (32, 64, 128)
    condition: int = 128
    agents: tuple[str, ...] = field(default_factory=lambda: tuple(known_agents()))
    change_scale: tuple[float, ...] = ()
    text: int = 0
    attenuation: bool = True
    occlusion: dict[str, float] = field(default_factory=dict)
    response: bool = True
    fate: tuple[float, ...] = ()
    response_spread: tuple[float, ...] = ()
    reports: int = 0

    def __post_init__(self) -> None:
        sizes = {
            "latent": (1, 256),
            "widths": (8, 2048),
            "condition": (1, 4096),
            "text": (0, 8192),
            "reports": (0, 8192),
        }
        require_sizes(self, sizes, "the denoiser")
        if self.change_scale and len(self.change_scale) != self.latent:
            raise BundleError(
                what="The configuration of the denoiser is not possible",
                given=f"{len(self.change_scale)} scales of changes, {self.latent} channels",
                remedy="Get the bundle again",
            )
        for name in (*self.agents, *self.occlusion):
            agent(name)


class _TraitEncoder(nn.Module):
    """The tumour in one vector: features of the latent before treatment, pooled over the tumour."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.local = nn.Sequential(
            nn.Conv3d(latent + TRAIT_MASKS, 48, 3, padding=1), nn.SiLU(), nn.Conv3d(48, 48, 1), nn.SiLU()
        )
        self.out = nn.Sequential(
            nn.Linear(2 * (48 + latent) + 2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.LayerNorm(width)
        )

    def forward(self, before: Tensor, masks: Tensor, spacing_mm: Tensor) -> Tensor:
        """(N, C, d, h, w), (N, MASKS, d, h, w), (N,) to (N, width).

        Only blocks of the tumour count, so the convolutions are computed there alone: a few percent of the window.
        """
        weight = masks[:, 0]
        place = weight.nonzero(as_tuple=True)  # R blocks: (R,) patient, k, j, i
        share = weight[place][:, None]  # (R, 1)
        images = torch.cat([before, masks[:, :TRAIT_MASKS]], 1)
        features = torch.cat([self._at(images, place), _pick(before, place)], 1)  # (R, F)

        def pooled(values: Tensor) -> Tensor:
            return values.new_zeros(len(weight), values.shape[1]).index_add(0, place[0], values)

        total = pooled(share).clamp_min(1e-3)  # (N, 1)
        mean = pooled(features * share) / total
        deviation = (pooled((features - mean[place[0]]).square() * share) / total + 1e-4).sqrt()
        size = torch.cat([total.log() / 5, spacing_mm.log()[:, None]], 1)
        return self.out(torch.cat([mean, deviation, size], 1))

    def _at(self, images: Tensor, place: tuple[Tensor, ...]) -> Tensor:
        """What `self.local` gives at R places: (N, C, d, h, w) to (R, 48)."""
        first, act, second, _ = self.local
        patient, *centre = place
        padded = nn.functional.pad(images, (1,) * 6)
        neighbours = [
            _pick(padded, (patient, *(c + o for c, o in zip(centre, offset, strict=True))))
            for offset in itertools.product(range(3), repeat=3)
        ]
        rows = torch.stack(neighbours, -1).flatten(1)  # (R, C * 27), in the memory order of the kernel
        hidden = act(nn.functional.linear(rows, first.weight.flatten(1), first.bias))
        return act(nn.functional.linear(hidden, second.weight.flatten(1), second.bias))


def _pick(images: Tensor, place: tuple[Tensor, ...]) -> Tensor:
    """(N, C, d, h, w) at R places (patient, k, j, i): (R, C)."""
    patient, k, j, i = place
    return images[patient, :, k, j, i]


#: The fate maps: enhancement, the same smoothed, order, place, and two margins.
_FATE_MAPS = MASKS - TRAIT_MASKS + 2


def margins(masks: Tensor, maps: Tensor) -> Tensor:
    """How far each block of the tumour is beyond the border of the dead part, and of Lipiodol (N, 2, d, h, w), -3..3.

    Args:
        masks: (N, MASKS, d, h, w).
        maps: (N, FEATURES, d, h, w) of the response; where that is hidden the margins are 0.
    """
    order, place = masks[:, 7:8], masks[:, 8:9]
    dead, uptake = 0.5 * (maps[:, 0:1] + 1), 0.5 * maps[:, 2:3]
    given, known = maps[:, 3:4], maps[:, 4:5]
    tumour = (masks[:, :1] > TOUCHED).to(masks.dtype) * known
    die = (8 * (order - (1 - dead))).clamp(-3, 3) * tumour
    hold = (8 * (place - (1 - uptake))).clamp(-3, 3) * tumour * given
    return torch.cat([die, hold], 1)


class Denoiser(nn.Module):
    """Predicts the clean change of latents z1 - z0 from its noisy version.

    Condition: the pre-treatment latent z0, its attenuated version z0', the tumour and liver masks, tau(a), the tumour's
    traits, the response, time and voxel size. A response head (`response_head.py`), a network of its own, predicts the
    response; the U-Net is given it as numbers and draws it.

    The names of the layers are the names of the weights in bundles, so they stay: `foresight` is the response head, and
    `told` the layer that reads the response.

    Args:
        config: sizes.
        text: frozen text embeddings (A, config.text); None leaves zeros, to be loaded from a bundle.
    """

    def __init__(self, config: DenoiserConfig, text: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        w, c = config.widths, config.condition
        phi = (torch.zeros(len(config.agents), config.text) if text is None else text) if config.text else None
        self.actions = ReportEncoder(config.reports, c) if config.reports else ActionEncoder(len(config.agents), c, phi)
        self.traits = _TraitEncoder(config.latent, c)
        self.joint = nn.Sequential(nn.Linear(3 * c, c), nn.SiLU(), nn.Linear(c, c), nn.SiLU())
        self.time = nn.Sequential(nn.Linear(64 + 1, c), nn.SiLU(), nn.Linear(c, c))
        if config.response:
            self.foresight = ResponseHead(config.agents, features(config.latent), c, phi)
            self.told = nn.Linear(FEATURES, c)
            nn.init.zeros_(self.told.weight)
            nn.init.zeros_(self.told.bias)
        inputs = (3 if config.attenuation else 2) * config.latent + TRAIT_MASKS
        # Inputs that were added later come last, so that a network without them can be grown (`lab.training.grow`).
        inputs += (FEATURES if config.response else 0) + (_FATE_MAPS if config.fate else 0)
        self.stem = nn.Conv3d(inputs, w[0], 3, padding=1)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        for n, width in enumerate(w):
            self.down.append(Block(width, width, c))
            if n + 1 < len(w):
                self.shrink.append(nn.Conv3d(width, w[n + 1], 2, stride=2))
        self.middle = Attention(w[-1])
        self.bottom = Block(w[-1], w[-1], c)
        self.grow = nn.ModuleList()
        self.up = nn.ModuleList()
        for n in reversed(range(len(w) - 1)):
            self.grow.append(nn.Conv3d(w[n + 1], w[n], 1))
            self.up.append(Block(2 * w[n], w[n], c))
        self.head = nn.Sequential(nn.GroupNorm(8, w[0]), nn.SiLU(), nn.Conv3d(w[0], config.latent, 3, padding=1))
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def tumour_traits(self, before: Tensor, masks: Tensor, spacing_mm: Tensor) -> Tensor:
        """Traits (N, condition) of tumours; they depend on no action and no time."""
        return self.traits(before, masks, spacing_mm)

    def outlook(self, traits: Tensor, actions: Tensor, dropped: Tensor | None = None) -> Tensor:
        """What an action means for a tumour: (N, condition) from traits (N, condition) and actions (N, A, 3).

        A network that reads reports takes their embeddings (N, reports) instead of actions.
        """
        tau = self.actions(actions, dropped)
        return self.joint(torch.cat([tau, traits, tau * traits], 1))

    def forward(
        self,
        noisy: Tensor,
        before: Tensor,
        attenuated: Tensor,
        masks: Tensor,
        outlook: Tensor,
        response: Tensor,
        spacing_mm: Tensor,
        time: Tensor,
    ) -> Tensor:
        """Predict the clean, scaled change.

        Args:
            noisy: (N, C, d, h, w) noisy scaled change at `time`.
            before: (N, C, d, h, w) latent of the pre-treatment CT.
            attenuated: (N, C, d, h, w) latent of the attenuated pre-treatment CT; not used without attenuation.
            masks: (N, MASKS, d, h, w), see `maps.tumour_maps`.
            outlook: (N, condition) from `outlook`.
            response: (N, FEATURES) from `response.features`; not used without the response.
            spacing_mm: (N,) voxel size of the patch.
            time: (N,) 0 is noise, 1 is data.

        Returns:
            (N, C, d, h, w).
        """
        extra = torch.cat([time_features(time, 64), spacing_mm.log()[:, None]], 1)
        given = self.told(response) if self.config.response else 0.0
        condition = nn.functional.silu(outlook + given + self.time(extra))
        images = [noisy, before, attenuated] if self.config.attenuation else [noisy, before]
        images.append(masks[:, :TRAIT_MASKS])
        maps = response[:, :, None, None, None].expand(-1, -1, *noisy.shape[2:])
        if self.config.response:
            images.append(maps)
        if self.config.fate:
            images += [masks[:, TRAIT_MASKS:], margins(masks, maps)]
        x = self.stem(torch.cat(images, 1))
        return self.head(u_net(self, x, condition))
