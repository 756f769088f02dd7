"""The dynamics model f_DM(x0, m0, a): a patch before treatment and protocols to simulated changes of HU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import DependencyError
from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics import response
from MeWMLib.dynamics.actions import encode_protocols, has_lipiodol
from MeWMLib.dynamics.appearance import appearance
from MeWMLib.dynamics.attenuation import attenuate, expected_level
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, expand
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.maps import tumour_maps
from MeWMLib.dynamics.part import Weights, rebuilt
from MeWMLib.dynamics.sampling import sampler_named

#: Configuration and weights of a part of a bundle.
Part = tuple[dict[str, Any], dict[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class EncodedPatch:
    """A patch ready for simulation: everything that does not depend on the protocol.

    Attributes:
        hu: (1, 1, D, H, W).
        latent: (1, C, d, h, w).
        masks: (1, MASKS, d, h, w), see `maps.tumour_maps`.
        appearance: (1, F), see `appearance.appearance`.
        labels: (D, H, W).
        spacing_mm: voxel size.
        window: the part of the latent grid that can change; noise and denoiser live there.
        attenuated: level of attenuation to latent (1, C, d, h, w); filled when a level is first asked for.
    """

    hu: Tensor
    latent: Tensor
    masks: Tensor
    appearance: Tensor
    labels: NDArray[np.uint8]
    spacing_mm: float
    window: tuple[slice, slice, slice]
    attenuated: dict[int, Tensor] = field(default_factory=dict)


#: Sides of the window, in blocks.
WINDOWS = (16, 20, 24)


def treated_window(tumour_share: NDArray[Any]) -> tuple[slice, slice, slice]:
    """The part of the latent grid that holds the tumour and a margin: a cube of 16, 20 or 24 blocks, else all.

    Most tumours fit into the small cube, where the denoiser needs a third of the work.

    Args:
        tumour_share: (d, h, w) share of tumour in each block.
    """
    whole = tuple(slice(0, n) for n in tumour_share.shape)
    touched = np.argwhere(tumour_share > 0)
    if not len(touched):
        return whole  # type: ignore[return-value]
    low, high = touched.min(0), touched.max(0) + 1
    fitting = [size for size in WINDOWS if (high - low).max() + 2 <= size <= min(tumour_share.shape)]
    if not fitting:
        return whole  # type: ignore[return-value]
    size = fitting[0]
    start = np.clip((low + high - size) // 2, 0, np.array(tumour_share.shape) - size)
    return tuple(slice(int(a), int(a) + size) for a in start)  # type: ignore[return-value]


class DynamicsModel:
    """Autoencoder, denoiser and sampler together, in inference.

    Attributes:
        describe: protocols to embeddings of texts (N, W), for a network that reads reports; the lab provides it
            (`lab.reports.let_networks_read_reports`).
    """

    describe: Callable[[Sequence[Protocol]], NDArray[np.float32]] | None = None

    def __init__(self, autoencoder: Autoencoder, denoiser: Denoiser, device: torch.device) -> None:
        self.autoencoder = autoencoder.to(device).eval()
        self.denoiser = denoiser.to(device).eval()
        self.device = device
        scale = denoiser.config.change_scale or (1.0,) * denoiser.config.latent
        self._scale = torch.tensor(scale, device=device)[None, :, None, None, None]

    @classmethod
    def from_parts(cls, autoencoder: Part, dynamics: Part, device: torch.device) -> DynamicsModel:
        """Rebuild from the two bundle parts."""
        return cls(Autoencoder.from_part(*autoencoder), denoiser_from_part(*dynamics), device)

    @torch.inference_mode()
    def encode(self, hu: NDArray[Any], labels: NDArray[np.uint8], spacing_mm: float) -> EncodedPatch:
        """Encode a patch before treatment: hu and labels (D, H, W), sizes divisible by 16."""
        image = torch.from_numpy(np.asarray(hu, np.float32))[None, None].to(self.device)
        latent = self.autoencoder.encode(image)
        known = torch.from_numpy(np.asarray(labels))
        shares = torch.nn.functional.avg_pool3d(torch.stack([known == 2, known >= 1]).float(), 4).numpy()
        window = treated_window(shares[0])
        before = latent[0].cpu().numpy()
        maps = tumour_maps(before[0], shares, self.autoencoder.ten_hu, self.denoiser.config.fate)
        part = (slice(None), *window)
        looks = torch.from_numpy(appearance(before[part], maps[:2][part], maps[2][window], spacing_mm))[None]
        masks = torch.from_numpy(maps)[None].to(self.device)
        return EncodedPatch(image, latent, masks, looks.to(self.device), np.asarray(labels), spacing_mm, window)

    def level(self, protocol: Protocol) -> int:
        """Expected attenuation level 0 to 4 of a protocol, from its embolics."""
        return expected_level(protocol, self.denoiser.config.occlusion)

    def _attenuated(self, patch: EncodedPatch, level: int) -> Tensor:
        """Latent (1, C, d, h, w) of the patch attenuated to a level; computed once."""
        if level == 0 or not self.denoiser.config.attenuation:
            return patch.latent
        if level not in patch.attenuated:
            hu = attenuate(patch.hu[0, 0].cpu().numpy(), patch.labels, level, patch.spacing_mm)
            patch.attenuated[level] = self.autoencoder.encode(torch.from_numpy(hu)[None, None].to(self.device))
        return patch.attenuated[level]

    def _response(
        self, patch: EncodedPatch, actions: Tensor, generators: Sequence[torch.Generator], spread: float
    ) -> Tensor:
        """Standardised response (N, 3) that is drawn for each row of actions (N, A, 3) and its replica."""
        # `foresight` is the response head, by the name of its weights in bundles
        deviation = response.deviation(self.denoiser.config.response_spread, generators).to(self.device)
        expected: Tensor = self.denoiser.foresight(patch.appearance, actions[None])
        return expected + spread * deviation

    def _treatment(self, protocols: Sequence[Protocol], actions: Tensor) -> Tensor:
        """The treatment as the U-Net takes it: actions (N, A, 3), or embeddings of reports (N, W)."""
        if not self.denoiser.config.reports:
            return actions
        if self.describe is None:
            raise DependencyError(
                what="The dynamics network of this bundle reads reports, which only an evaluation provides",
                given="a bundle of the baseline textomorph",
                remedy="Give the bundle to `mewm evaluate generation`, or choose another one",
            )
        return torch.from_numpy(self.describe(protocols)).to(self.device)

    @property
    def tells_response(self) -> bool:
        """True if the denoiser is conditioned on a response, so that `responses` says what a simulation shows."""
        return self.denoiser.config.response

    @torch.inference_mode()
    def responses(
        self, patch: EncodedPatch, protocols: Sequence[Protocol], seeds: Sequence[int], spread: float = 1.0
    ) -> NDArray[np.float32]:
        """The response that `simulate` draws for each protocol and seed (N, 3).

        Dead share of the viable tissue, volume over that before, share of the dead part that holds Lipiodol.
        """
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        actions = encode_protocols(protocols, self.denoiser.config.agents).to(self.device)
        necrosis, log_volume, uptake = response.natural(self._response(patch, actions, generators, spread))
        oil = has_lipiodol(actions, self.denoiser.config.agents)
        return torch.stack([necrosis, log_volume.exp(), uptake * oil], 1).cpu().numpy()

    @torch.inference_mode()
    def simulate(
        self,
        patch: EncodedPatch,
        protocols: Sequence[Protocol],
        seeds: Sequence[int],
        steps: int = 4,
        guidance: float = 1.0,
        sampler: str = "rectified_flow",
        on_step: Callable[[int], None] | None = None,
        levels: Sequence[int] | None = None,
        spread: float = 1.0,
    ) -> NDArray[np.float32]:
        """Simulate each protocol with its seed.

        Noise and deviation of the response depend on the seed alone, so that two protocols with the same seed differ
        only by their actions.

        Args:
            patch: from `encode`.
            protocols, seeds: N of each.
            steps: of the sampler.
            guidance: classifier-free guidance scale (arXiv 2207.12598, eq. 6 with w = guidance - 1); 1 turns it off.
            sampler: a name in `sampling.SAMPLERS`.
            on_step: called with the number of finished steps.
            levels: N attenuation levels 0 to 4, where the operation report states them; by default those expected of
                the protocols.
            spread: how far replicas deviate from the response that the head predicts, as a share of what was measured
                on patients that were not trained on; 0 draws the predicted response itself.

        Returns:
            Change of HU (N, D, H, W), simulated minus before.

        Raises:
            PlanSettingsError: no such sampler, or no steps.
            DependencyError: the network reads reports, and nothing provides their embeddings.
        """
        if len(protocols) == 1 and self.device.type == "cpu":
            # torch takes a slower path for a single 3D convolution: two take less time than one
            more = None if levels is None else [levels[0]] * 2
            pair = (protocols[0],) * 2, (seeds[0],) * 2
            return self.simulate(patch, *pair, steps, guidance, sampler, on_step, more, spread)[:1]
        sample = sampler_named(sampler)
        n = len(protocols)
        config = self.denoiser.config
        actions = encode_protocols(protocols, config.agents).to(self.device)
        part = (slice(None), slice(None), *patch.window)
        before = patch.latent[part].expand(n, -1, -1, -1, -1)
        masks = patch.masks[part].expand(n, -1, -1, -1, -1)
        known = [self.level(p) for p in protocols] if levels is None else levels
        attenuated = torch.cat([self._attenuated(patch, level)[part] for level in known])
        # Drawn on the CPU, so that a seed means the same on every device; one generator a replica, so that a replica
        # does not depend on its neighbours. A stochastic sampler goes on drawing from them.
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        # the order counts: deviation first, then noise, as in `responses`
        given = torch.zeros((n, response.FEATURES), device=self.device)
        none_given = torch.zeros_like(given)
        if self.tells_response:
            reached = self._response(patch, actions, generators, spread)
            given = response.features(reached, has_lipiodol(actions, config.agents))
        noise = torch.cat([torch.randn((1, *before.shape[1:]), generator=g) for g in generators]).to(self.device)
        spacing = torch.full((n,), patch.spacing_mm, device=self.device)
        traits = self.denoiser.tumour_traits(before[:1], masks[:1], spacing[:1]).expand(n, -1)
        treatment = self._treatment(protocols, actions)
        outlook = self.denoiser.outlook(traits, treatment)
        dropped = torch.ones(n, dtype=torch.bool, device=self.device)
        unknown = self.denoiser.outlook(traits, treatment, dropped) if guidance != 1.0 else outlook

        def predict(noisy: Tensor, time: float) -> Tensor:
            times = torch.full((n,), time, device=self.device)
            clean = self.denoiser(noisy, before, attenuated, masks, outlook, given, spacing, times)
            if guidance != 1.0:
                # The attenuation level reveals the embolics, so it is hidden together with the action.
                blind = self.denoiser(noisy, before, before, masks, unknown, none_given, spacing, times)
                clean = blind + guidance * (clean - blind)
            return clean

        change = torch.zeros((n, *patch.latent.shape[1:]), device=self.device)
        change[part] = sample(predict, noise, steps, on_step, generators) * self._scale
        after = self.autoencoder.decode_change(patch.hu, change)  # (N, 1, D, H, W)
        inside = expand(compand(patch.hu))  # the same clipping on both sides, so that no change gives exactly none
        return (after - inside)[:, 0].float().cpu().numpy()


def denoiser_from_part(
    config: dict[str, Any], tensors: dict[str, NDArray[Any]], without_head: bool = False
) -> Denoiser:
    """Rebuild a denoiser from its bundle part.

    Args:
        without_head: accept a part from before version 4 of the default bundle, whose response head was another
            network; the head is then an untrained one.

    Raises:
        BundleError: the part was made for another version of MeWM.
    """
    return rebuilt(DenoiserConfig, Denoiser, config, tensors, _with_new_head if without_head else None)


def _with_new_head(weights: Weights, untrained: Denoiser) -> Weights:
    """Weights of an older part with the head of an untrained network."""
    if any(k.startswith("foresight.") for k in weights):
        return weights
    kept = {k: v for k, v in weights.items() if not k.startswith("response.")}
    return kept | {k: v for k, v in untrained.state_dict().items() if k.startswith("foresight.")}
