"""The dynamics model on coarse maps: a region before treatment and protocols to expected and sampled outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.coarse_maps import CELL, FloatArray, OutcomeMaps
from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.precision import computes_bfloat16
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import record_to_plain
from MeWMLib.core.volume import Geometry
from MeWMLib.dynamics import response
from MeWMLib.dynamics.actions import encode_protocols, has_lipiodol
from MeWMLib.dynamics.map_channels import DRAWN, maps_of, patient_appearance, patient_channels, to_cells, to_cubes
from MeWMLib.dynamics.map_following import Told, following
from MeWMLib.dynamics.map_network import Given, MapConfig, MapNetwork, session_numbers
from MeWMLib.dynamics.map_territory import drawn_territory, mean_territory
from MeWMLib.dynamics.part import rebuilt
from MeWMLib.dynamics.sampling import sampler_named

#: What the configuration of a bundle's dynamics part says if it is a map network.
KIND = "maps"
#: Fall of tissue that dies (HU) where nothing tells it of a scan.
FALL_HU = 15.0
#: Configuration and weights of a part of a bundle.
Part = tuple[dict[str, Any], dict[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class EncodedRegion:
    """A region ready for simulation: everything that does not depend on the session.

    Attributes:
        seen: (1, SEEN, d, h, w) of `map_channels.patient_channels`.
        appearance: (1, F) of `appearance.appearance`.
        tumour: (d, h, w) share of tumour that is treated.
        alive: (d, h, w) share of the tumour in each cube that lives.
        fall: (d, h, w) HU by which the density of a cube falls if all of it dies.
        arterial: the scan's phase.
        geometry: of the cubes.
    """

    seen: Tensor
    appearance: Tensor
    tumour: FloatArray
    alive: FloatArray
    fall: FloatArray
    arterial: bool
    geometry: Geometry


class MapModel:
    """Map network and sampler together, in inference.

    Args:
        network: trained.
        device: to compute on.
        mixed: compute in bfloat16; None where the device is faster in it.

    Attributes:
        mixed: whether it does.
    """

    def __init__(self, network: MapNetwork, device: torch.device, mixed: bool | None = None) -> None:
        self.network = network.to(device).eval()
        self.device = device
        self.mixed = computes_bfloat16(device) if mixed is None else mixed

    @property
    def tells_response(self) -> bool:
        """True: outcomes are conditioned on a response, which `responses` tells beforehand."""
        return True

    @classmethod
    def from_part(cls, config: dict[str, Any], tensors: dict[str, NDArray[Any]], device: torch.device) -> MapModel:
        """Rebuild from a bundle's dynamics part.

        Raises:
            BundleError: the part was made for another version of MeWM.
        """
        return cls(network_from_part(config, tensors), device)

    @torch.inference_mode()
    def encode(
        self,
        hu: FloatArray,
        tumour: FloatArray,
        liver: FloatArray,
        geometry: Geometry,
        arterial: bool = False,
        alive: FloatArray | None = None,
        fall: FloatArray | None = None,
    ) -> EncodedRegion:
        """Encode a region before treatment.

        Args:
            hu, tumour, liver: (d, h, w) means of cubes, and shares of treated tumour and of liver with all tumour.
            geometry: of the cubes (`perception.cubes.region_of`).
            arterial: phase of the scan.
            alive: share of the tumour in each cube that lives before treatment; None where all of it does.
            fall: HU by which the density of each cube falls if all of it dies; None for `FALL_HU` everywhere.

        Raises:
            GeometryMismatchError: sides that the network's levels do not divide.
        """
        side = CELL * self.network.divides
        if any(n % side for n in hu.shape):
            raise GeometryMismatchError(
                what="The region does not fit the map network",
                given=f"{hu.shape} cubes",
                remedy=f"Make it with perception.cubes.region_of: sides of {side} cubes or a multiple",
            )
        seen = torch.from_numpy(patient_channels(hu, tumour, liver))[None]
        looks = torch.from_numpy(patient_appearance(hu, tumour, liver))[None]
        treated = np.asarray(tumour, np.float32)
        lives = np.ones_like(treated) if alive is None else np.asarray(alive, np.float32)
        falls = np.full_like(treated, FALL_HU) if fall is None else np.asarray(fall, np.float32)
        return EncodedRegion(seen.to(self.device), looks.to(self.device), treated, lives, falls, arterial, geometry)

    @torch.inference_mode()
    def responses(
        self, region: EncodedRegion, protocols: Sequence[Protocol], seeds: Sequence[int], spread: float = 1.0
    ) -> NDArray[np.float32]:
        """The response that is drawn for each protocol and seed (N, 3), as `DynamicsModel.responses` has it."""
        actions = encode_protocols(protocols, self.network.config.agents).to(self.device)
        necrosis, log_volume, uptake = response.natural(self._response(region, actions, _generators(seeds), spread))
        oil = has_lipiodol(actions, self.network.config.agents)
        return torch.stack([necrosis, log_volume.exp(), uptake * oil], 1).cpu().numpy()

    @torch.inference_mode()
    def left(
        self,
        region: EncodedRegion,
        protocols: Sequence[Protocol],
        seeds: Sequence[int],
        fed: FloatArray | None = None,
        spread: float = 1.0,
    ) -> NDArray[np.float64]:
        """Sums of viable tumour and of tumour (N, 2) in cubes that the maps of each protocol and seed will hold.

        The response head tells them, in a thousandth of the time of a simulation. Arguments as for `simulate`.
        """
        actions = encode_protocols(protocols, self.network.config.agents).to(self.device)
        reached = self._response(region, actions, _generators(seeds), spread)
        necrosis, log_volume, _ = (found.double().cpu().numpy() for found in response.natural(reached))
        lives = (region.tumour * region.alive).astype(np.float64)
        areas = {seed: drawn_territory(region.tumour, seed) if fed is None else fed for seed in set(seeds)}
        sums = {seed: float((area * lives).sum()) for seed, area in areas.items()}
        dies = necrosis * np.array([sums[seed] for seed in seeds])
        whole = float(region.tumour.sum(dtype=np.float64))
        return np.exp(log_volume)[:, None] * np.stack([lives.sum() - dies, np.full(len(dies), whole)], 1)

    def _response(
        self, region: EncodedRegion, actions: Tensor, generators: Sequence[torch.Generator], spread: float
    ) -> Tensor:
        deviation = response.deviation(self.network.config.response_spread, generators).to(self.device)
        expected: Tensor = self.network.head(region.appearance, actions[None])
        return expected + spread * deviation

    def _given(
        self,
        region: EncodedRegion,
        protocols: Sequence[Protocol],
        generators: Sequence[torch.Generator],
        fed: Sequence[FloatArray | None],
        weeks: float | None,
        spread: float,
    ) -> tuple[Given, Told]:
        n, agents = len(protocols), self.network.config.agents
        actions = encode_protocols(protocols, agents).to(self.device)
        hidden = torch.zeros(n, dtype=torch.bool, device=self.device)
        reached = self._response(region, actions, generators, spread)
        told = response.features(reached, has_lipiodol(actions, agents), hidden)
        none = np.zeros(region.tumour.shape, np.float32)
        areas = torch.from_numpy(np.stack([none if one is None else np.asarray(one, np.float32) for one in fed]))
        session = session_numbers(
            torch.full((n,), float("nan") if weeks is None else weeks),
            torch.full((n,), region.arterial),
            torch.tensor([one is not None for one in fed]),
        )
        seen = region.seen.expand(n, -1, -1, -1, -1)
        given = Given(seen, areas[:, None].to(self.device), session.to(self.device), actions, told, hidden)
        return given, self._told(region, reached, fed, has_lipiodol(actions, agents))

    def _told(self, region: EncodedRegion, reached: Tensor, fed: Sequence[FloatArray | None], oil: Tensor) -> Told:
        """What the maps have to hold: of territories that are not known, on average."""
        necrosis, log_volume, _ = response.natural(reached)
        mean = mean_territory(region.tumour) if any(one is None for one in fed) else None
        areas = np.stack([np.asarray(mean if one is None else one, np.float32) for one in fed])
        whole = (torch.from_numpy(one).to(self.device) for one in (areas, region.tumour, region.alive, region.fall))
        return Told(necrosis, log_volume.exp(), *whole, oil)

    @torch.inference_mode()
    def expected(
        self,
        region: EncodedRegion,
        protocols: Sequence[Protocol],
        seeds: Sequence[int],
        fed: FloatArray | None = None,
        weeks: float | None = None,
        spread: float = 1.0,
    ) -> list[OutcomeMaps]:
        """The mean of all outcomes that fit the response of each protocol and seed.

        What is expected of a protocol is the mean over its seeds (`mean_maps`).

        Args:
            region: from `encode`.
            protocols, seeds: N of each.
            fed: (d, h, w) share of each cube that is fed; None where it is not known: then over all territories.
            weeks: from treatment to the scan; None where they are not known.
            spread: as `DynamicsModel.simulate`.
        """
        given, told = self._given(region, protocols, _generators(seeds), [fed] * len(protocols), weeks, spread)
        nothing = torch.zeros((len(protocols), DRAWN * CELL**3, *_cells(region)), device=self.device)
        clean = self._predict(nothing, torch.zeros(len(protocols), device=self.device), given)
        return self._maps(region, clean, told)

    def sample(
        self, region: EncodedRegion, protocols: Sequence[Protocol], seeds: Sequence[int], *args: Any, **settings: Any
    ) -> list[OutcomeMaps]:
        """The samples of `simulate` alone."""
        return [
            sample for sample, _ in self.simulate(region, protocols, seeds, *args, **settings) if sample is not None
        ]

    @torch.inference_mode()
    def simulate(
        self,
        region: EncodedRegion,
        protocols: Sequence[Protocol],
        seeds: Sequence[int],
        fed: FloatArray | None = None,
        weeks: float | None = None,
        steps: int = 4,
        spread: float = 1.0,
        guidance: float = 1.0,
        sampler: str = "rectified_flow",
        on_step: Callable[[int], None] | None = None,
        means: Sequence[OutcomeMaps] | None = None,
    ) -> list[tuple[OutcomeMaps | None, OutcomeMaps]]:
        """One sample for each protocol and seed, and the mean of all that fit the same response and territory.

        Response, territory and noise depend on the seed alone. Arguments as for `expected`; without a territory each
        seed draws one. `guidance` and `sampler` as `DynamicsModel.simulate` has them; 0 `steps` draw no sample,
        which takes a fraction of the time. `means` are those of a former call with the same
        arguments, which are not computed again.

        Raises:
            PlanSettingsError: no such sampler, or fewer steps than none.
        """
        draw = sampler_named(sampler)
        generators = _generators(seeds)
        areas = [drawn_territory(region.tumour, seed) if fed is None else fed for seed in seeds]
        given, told = self._given(region, protocols, generators, areas, weeks, spread)
        followed = told if guidance else None
        hidden = torch.ones_like(given.hidden)
        unknown = replace(given, response=torch.zeros_like(given.response), hidden=hidden)
        shape = (1, DRAWN, *region.tumour.shape)
        noise = to_cells(torch.cat([torch.randn(shape, generator=g) for g in generators])).to(self.device)
        last: list[Tensor] = []

        def clean(noisy: Tensor, time: float) -> Tensor:
            times = torch.full((len(noisy),), time, device=self.device)
            found = self._predict(noisy, times, given if guidance else unknown)
            if guidance not in (0.0, 1.0):
                blind = self._predict(noisy, times, unknown)
                found = blind + guidance * (found - blind)
            return found

        def predict(noisy: Tensor, time: float) -> Tensor:
            last[:] = [clean(noisy, time)]
            return last[0][:, : noise.shape[1]]

        if means is None:
            means = self._maps(region, clean(torch.zeros_like(noise), 0.0), followed)
        if steps == 0:
            return [(None, mean) for mean in means]
        draw(predict, noise, steps, on_step, generators)
        # the last estimate of iodine itself: that of the companded channel would lose most of it, since a mean of
        # logarithms stands for less than the mean
        return list(zip(self._maps(region, last[0], followed), means, strict=True))

    def _predict(self, noisy: Tensor, time: Tensor, given: Given) -> Tensor:
        """The network, in the precision that the device computes fast."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            out: Tensor = self.network(noisy, time, given)
            return out.float()

    @staticmethod
    def _maps(region: EncodedRegion, clean: Tensor, told: Told | None) -> list[OutcomeMaps]:
        """The maps, which hold what was told; None where nothing was."""
        before = torch.from_numpy(region.tumour)[None].to(clean.device)
        found = maps_of(to_cubes(clean.float()), before)
        if told is not None:
            found = following(*found, told)
        rows = zip(*(maps.cpu().numpy() for maps in found), strict=True)
        return [OutcomeMaps(*row, region.geometry) for row in rows]


def mean_maps(maps: Sequence[OutcomeMaps]) -> OutcomeMaps:
    """The mean of outcomes of one region."""
    viable, tumour, change, iodine = (
        np.mean([one.arrays[n] for one in maps], axis=0, dtype=np.float32) for n in range(4)
    )
    return OutcomeMaps(viable, tumour, change, iodine, maps[0].geometry)


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Drawn on the CPU, so that a seed means the same on every device; one for each replica."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def _cells(region: EncodedRegion) -> tuple[int, ...]:
    return tuple(n // CELL for n in region.tumour.shape)


def is_maps(config: dict[str, Any]) -> bool:
    """True if the configuration of a dynamics part is that of a map network."""
    return config.get("kind") == KIND


def network_part(network: MapNetwork) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Configuration and weights of a network for a bundle."""
    config = {"kind": KIND, **record_to_plain(network.config)}
    return config, {k: v.detach().cpu().numpy() for k, v in network.state_dict().items()}


def network_from_part(config: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> MapNetwork:
    """Rebuild a map network from its bundle part.

    Raises:
        BundleError: the part was made for another version of MeWM.
    """
    known = {k: v for k, v in config.items() if k != "kind"}
    return rebuilt(MapConfig, MapNetwork, known, tensors)
