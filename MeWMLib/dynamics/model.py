"""The dynamics model f_DM(x0, m0, a): a patch before treatment and protocols to simulated changes of HU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import BundleError
from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics import response
from MeWMLib.dynamics.actions import encode_protocols, has_lipiodol
from MeWMLib.dynamics.appearance import appearance
from MeWMLib.dynamics.attenuation import attenuate, expected_level
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, expand
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.maps import tumour_maps
from MeWMLib.dynamics.reports import embed_reports, sentence_encoder
from MeWMLib.dynamics.sampling import sampler_named


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


def block_shares(labels: Tensor) -> Tensor:
    """Labels (D, H, W) to the share of tumour and of liver in each block of 4^3: (1, 2, D/4, H/4, W/4)."""
    masks = torch.stack([labels == 2, labels >= 1]).float()[None]
    return torch.nn.functional.avg_pool3d(masks, 4)


WINDOWS = (16, 20, 24)


def treated_window(tumour_share: NDArray[Any]) -> tuple[slice, slice, slice]:
    """The part of the latent grid that holds the tumour and a margin: a cube of 16, 20 or 24 blocks, else all.

    Most tumours fit into the small cube, where the denoiser needs a third of the work.

    Args:
        tumour_share: (d, h, w) share of tumour in each block.
    """
    touched = np.argwhere(tumour_share > 0)
    if not len(touched):
        return tuple(slice(0, n) for n in tumour_share.shape)  # type: ignore[return-value]
    low, high = touched.min(0), touched.max(0) + 1
    fitting = [size for size in WINDOWS if size >= (high - low).max() + 2 and size <= min(tumour_share.shape)]
    if not fitting:
        return tuple(slice(0, n) for n in tumour_share.shape)  # type: ignore[return-value]
    size = fitting[0]
    start = np.clip((low + high - size) // 2, 0, np.array(tumour_share.shape) - size)
    return tuple(slice(int(a), int(a) + size) for a in start)  # type: ignore[return-value]


class DynamicsModel:
    """Autoencoder, denoiser and sampler together, in inference."""

    def __init__(self, autoencoder: Autoencoder, denoiser: Denoiser, device: torch.device) -> None:
        self.autoencoder = autoencoder.to(device).eval()
        self.denoiser = denoiser.to(device).eval()
        self.device = device
        scale = denoiser.config.change_scale or (1.0,) * denoiser.config.latent
        self._scale = torch.tensor(scale, device=device)[None, :, None, None, None]

    @classmethod
    def from_parts(
        cls,
        autoencoder: tuple[dict[str, Any], dict[str, NDArray[Any]]],
        dynamics: tuple[dict[str, Any], dict[str, NDArray[Any]]],
        device: torch.device,
    ) -> DynamicsModel:
        """Rebuild from the two bundle parts."""
        return cls(Autoencoder.from_part(*autoencoder), denoiser_from_part(*dynamics), device)

    @torch.inference_mode()
    def encode(self, hu: NDArray[Any], labels: NDArray[np.uint8], spacing_mm: float) -> EncodedPatch:
        """Encode a patch before treatment: hu and labels (D, H, W), sizes divisible by 16."""
        image = torch.from_numpy(np.asarray(hu, np.float32))[None, None].to(self.device)
        latent = self.autoencoder.encode(image)
        shares = block_shares(torch.from_numpy(np.asarray(labels)))[0].numpy()
        window = treated_window(shares[0])
        before = latent[0].cpu().numpy()
        maps = tumour_maps(before[0], shares, self.autoencoder.ten_hu, self.denoiser.config.fate)
        part = (slice(None), *window)
        looks = torch.from_numpy(appearance(before[part], maps[:2][part], maps[2][window], spacing_mm))[None]
        masks = torch.from_numpy(maps)[None].to(self.device)
        return EncodedPatch(image, latent, masks, looks.to(self.device), np.asarray(labels), spacing_mm, window)

    def level(self, protocol: Protocol) -> int:
        """Attenuation level 0 to 4 that is expected of a protocol, from its embolics."""
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
        deviation = response.deviation(self.denoiser.config.response_spread, generators).to(self.device)
        expected: Tensor = self.denoiser.foresight(patch.appearance, actions[None])
        return expected + spread * deviation

    def _said(self, protocols: Sequence[Protocol], actions: Tensor) -> Tensor:
        """What the U-Net is told of the treatment: actions (N, A, 3), or embeddings of reports (N, W)."""
        if not self.denoiser.config.reports:
            return actions
        return torch.from_numpy(embed_reports(protocols, sentence_encoder())).to(self.device)

    @property
    def tells_response(self) -> bool:
        """True if the denoiser draws a response that it was told, so that `responses` says what a simulation shows."""
        return self.denoiser.config.response

    @torch.inference_mode()
    def responses(
        self, patch: EncodedPatch, protocols: Sequence[Protocol], seeds: Sequence[int], spread: float = 1.0
    ) -> NDArray[np.float32]:
        """The response that `simulate` draws for each protocol and seed (N, 3).

        Dead share of the tissue that lived, volume over that before, share of the dead part that holds Lipiodol.
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

        Noise and deviation of the response depend on the seed alone, so that two protocols with one seed differ by
        their action only.

        Args:
            patch: from `encode`.
            protocols, seeds: N of each.
            steps: of the sampler.
            guidance: classifier-free guidance scale (arXiv 2207.12598, eq. 6 with w = guidance - 1); 1 turns it off.
            sampler: a name in `sampling.SAMPLERS`.
            on_step: called with the number of finished steps.
            levels: N attenuation levels 0 to 4, where the operation report states them; else what is expected of
                each protocol.
            spread: how far replicas deviate from the response that the head expects, as a share of what was measured
                on patients that were not trained on; 0 draws the expected response itself.

        Returns:
            Change of HU (N, D, H, W), simulated minus before.

        Raises:
            PlanSettingsError: no such sampler, or no steps.
            DependencyError: the network reads reports, and no sentence encoder is installed.
        """
        if len(protocols) == 1 and self.device.type == "cpu":
            # torch takes a slower path for a lone 3D convolution: two take less time than one
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
        told = torch.zeros((n, response.FEATURES), device=self.device)
        untold = torch.zeros_like(told)
        if self.tells_response:
            reached = self._response(patch, actions, generators, spread)
            told = response.features(reached, has_lipiodol(actions, config.agents))
        noise = torch.cat([torch.randn((1, *before.shape[1:]), generator=g) for g in generators]).to(self.device)
        spacing = torch.full((n,), patch.spacing_mm, device=self.device)
        traits = self.denoiser.tumour_traits(before[:1], masks[:1], spacing[:1]).expand(n, -1)
        said = self._said(protocols, actions)
        outlook = self.denoiser.outlook(traits, said)
        dropped = torch.ones(n, dtype=torch.bool, device=self.device)
        unknown = self.denoiser.outlook(traits, said, dropped) if guidance != 1.0 else outlook

        def predict(noisy: Tensor, time: float) -> Tensor:
            times = torch.full((n,), time, device=self.device)
            clean = self.denoiser(noisy, before, attenuated, masks, outlook, told, spacing, times)
            if guidance != 1.0:
                # The level of attenuation tells of the embolics, so it is hidden with the action.
                blind = self.denoiser(noisy, before, before, masks, unknown, untold, spacing, times)
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
        without_head: take a part of before version 4 of the default bundle, whose response head was another network;
            the head is then an untrained one.

    Raises:
        BundleError: the part was made for another version of MeWM.
    """
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    head = any(k.startswith("foresight.") for k in tensors)
    try:
        model = Denoiser(DenoiserConfig(**settings))
        state = {k: torch.from_numpy(np.asarray(v, np.float32)) for k, v in tensors.items()}
        if without_head and not head:
            state = {k: v for k, v in state.items() if not k.startswith("response.")}
            state |= {k: v for k, v in model.state_dict().items() if k.startswith("foresight.")}
        model.load_state_dict(state)
    except (TypeError, RuntimeError) as error:
        raise BundleError(
            what="The bundle's dynamics part does not fit this version of MeWM",
            given=str(error).splitlines()[0][:200],
            remedy="Use a bundle of this version, or train the part again with `mewm train dynamics`",
        ) from error
    return model.eval()
