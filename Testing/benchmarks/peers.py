"""The segmenter and one simulation against what the field would use for them, in one run (`make bench-peers`).

- Segmentation of one CT by the same network and the same windows: MeWM, `SlidingWindowInferer` of MONAI, and the
  predictor of nnU-Net v2 where that is installed (extra `nnunet`). The two others compute every window; mirroring is
  off everywhere.
- One sample of the dynamics model: MeWM against `DiffusionInferer` of MONAI with its `DiffusionModelUNet`, of about as
  many weights as ours has (its own are random: a network takes the same time whatever its weights are), on the same
  grid of cells with the same number of steps.

Where the processor multiplies in bfloat16, and MeWM so computes in it, MONAI's are run both as they come and in it.
All in rounds, one after the other, medians of the processor's seconds; the ratio is theirs to ours. Nothing is
asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from monai.inferers import DiffusionInferer, SlidingWindowInferer
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from MeWMLib.cohorts.samples import load_sample  # noqa: E402
from MeWMLib.core.protocol import Protocol  # noqa: E402
from MeWMLib.core.volume import Geometry, Volume  # noqa: E402
from MeWMLib.dynamics.map_channels import DRAWN  # noqa: E402
from MeWMLib.dynamics.map_model import CELL  # noqa: E402
from MeWMLib.perception.intensity import normalise  # noqa: E402
from MeWMLib.perception.preprocess import body_box, isotropic_geometry, resample  # noqa: E402
from MeWMLib.perception.segmenter import Segmenter  # noqa: E402
from MeWMLib.perception.windows import AT_A_TIME  # noqa: E402
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion  # noqa: E402
from MeWMLib.world.model import WorldModel  # noqa: E402

GIVEN = Protocol.parse("Epirubicin + Lipiodol")
Way = Callable[[], Any]


def medians(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """Seconds of the processor of each way, after a first one."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            taken[name].append(time.process_time() - began)
    return {name: statistics.median(some) for name, some in taken.items()}


def monais(name: str, way: Way, mixed: bool) -> dict[str, Way]:
    """A way of MONAI as it comes, and in bfloat16 where ours computes in it."""

    def run(bfloat16: bool) -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            way()

    ways: dict[str, Way] = {f"MONAI {name}": lambda: run(False)}
    return ways | ({f"MONAI {name}, bfloat16": lambda: run(True)} if mixed else {})


def torso(ct: Volume, slices: int) -> Volume:
    """The CT in the middle of a longer scan of plain soft tissue, as a liver lies in a scan of the trunk."""
    whole = np.full((slices, *ct.geometry.shape[1:]), 40, np.int16)
    start = (slices - len(ct.array)) // 2
    whole[start : start + len(ct.array)] = ct.array
    affine = ct.geometry.affine.copy()
    affine[:3, 3] -= affine[:3, 2] * start
    return Volume(whole, Geometry(whole.shape, affine), ct.phase)


def segmentations(segmenter: Segmenter, ct: Volume) -> dict[str, Way]:
    """Ways to label a CT."""
    config = segmenter.config
    hu = resample(ct.array, ct.geometry, isotropic_geometry(ct.geometry, config.spacing_mm)).astype(np.float32)
    image = normalise(torch.from_numpy(hu[body_box(hu)]))[None, None]
    inferer = SlidingWindowInferer(
        (config.window,) * 3, AT_A_TIME, config.overlap, mode="gaussian", padding_mode="replicate"
    )

    ways: dict[str, Way] = {"MeWM": lambda: segmenter.segment_kept(hu)}
    ways |= monais("SlidingWindowInferer", lambda: inferer(image, segmenter.network), segmenter.mixed)
    if find_spec("nnunetv2") is not None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(
            tile_step_size=1 - config.overlap, use_mirroring=False, perform_everything_on_device=False,
            device=segmenter.device, allow_tqdm=False,
        )  # fmt: skip
        # what its windows ask of a plan, without a training of nnU-Net
        predictor.network = segmenter.network
        predictor.configuration_manager = SimpleNamespace(patch_size=[config.window] * 3)
        predictor.label_manager = SimpleNamespace(num_segmentation_heads=3)
        predictor.allowed_mirroring_axes = None
        ways["nnU-Net v2 predictor"] = lambda: predictor.predict_sliding_window_return_logits(image[0])
    return ways


def peer_of(weights: int) -> DiffusionModelUNet:
    """A U-Net of MONAI with about so many weights, of three levels as ours."""
    channels = DRAWN * CELL**3
    made = [
        DiffusionModelUNet(
            spatial_dims=3, in_channels=channels, out_channels=channels, channels=(width, 2 * width, 4 * width),
            attention_levels=(False, False, True), num_head_channels=width, num_res_blocks=blocks, norm_num_groups=8,
        )
        for width in (16, 24, 32, 40, 48) for blocks in (1, 2)
    ]  # fmt: skip
    return min(made, key=lambda one: abs(count(one) - weights)).eval()


def count(network: torch.nn.Module) -> int:
    """How many weights it has."""
    return sum(p.numel() for p in network.parameters())


def simulations(world: WorldModel, steps: int) -> tuple[dict[str, Way], dict[str, int]]:
    """Ways to draw one sample for `sample:lits-117`, and how many weights each has."""
    sample = load_sample("lits-117")
    simulator = world.simulator
    assert isinstance(simulator, MapSimulator)
    ready = simulator.prepare(world.patient(sample.ct, sample.labels))
    assert isinstance(ready, PreparedRegion)
    ours = count(simulator.maps.network)
    network = peer_of(ours)
    cells = tuple(-(-n // CELL // 4) * 4 for n in ready.region.geometry.shape)  # its levels halve them twice
    noise = torch.randn((1, DRAWN * CELL**3, *cells), generator=torch.Generator().manual_seed(0))
    scheduler = DDIMScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(num_inference_steps=steps)
    inferer = DiffusionInferer(scheduler)

    def mewm() -> None:
        simulator.maps.simulate(ready.maps, [GIVEN], [0], ready.region.fed, 5.0, steps)

    ways: dict[str, Way] = {"MeWM": mewm}
    ways |= monais(
        "DiffusionInferer", lambda: inferer.sample(noise, network, scheduler, verbose=False), simulator.maps.mixed
    )
    return ways, {"MeWM": ours, "MONAI DiffusionModelUNet": count(network)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    world = WorldModel.load(device="cpu")
    ct = load_sample("lits-117").ct
    found: dict[str, Any] = {
        "segmentation, lits-117": medians(segmentations(world.segmenter, ct), args.rounds),
        "segmentation, lits-117 in a trunk of 384 slices": medians(
            segmentations(world.segmenter, torso(ct, 384)), args.rounds
        ),
    }
    ways, weights = simulations(world, args.steps)
    found[f"one sample, {args.steps} steps"] = medians(ways, args.rounds)
    for what, some in found.items():
        print(f"\n{what}: seconds of the processor, medians of {args.rounds}")
        for name, seconds in some.items():
            print(f"  {name:40}{seconds:8.2f}   {seconds / some['MeWM']:6.2f} of MeWM")
    print("weights:", ", ".join(f"{name} {number:,}" for name, number in weights.items()))
    if find_spec("nnunetv2") is None:
        print("nnU-Net v2 is not installed: its predictor was not run")
    if args.json:
        args.json.write_text(json.dumps({"seconds": found, "weights": weights}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
