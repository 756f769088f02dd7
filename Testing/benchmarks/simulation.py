"""One simulation with the default bundle against the way of the paper, both in one run (`make bench-simulation`).

- `mewm`: encode a 96^3 patch, `--steps` (at most 10) steps, decode, compose into the full CT.
- `paper`: encode by the VQGAN layout, `--paper-steps` (200) steps of DDPM by a U-Net of the paper's size on the latent
  of 24^3, decode by the VQGAN. Its weights are random, since none are public: what a network computes takes the same
  time whatever its weights are.

Prints seconds by stage, sizes, and the ratio of the two totals. Nothing here is asserted: times belong to a machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import DiffusionModelUNet

from MeWMLib.cohorts.synthetic.world import synthetic_case
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Provenance
from MeWMLib.dynamics.compose import compose
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.dynamics.sampling import ddpm
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.preprocess import patch_geometry, resample

sys.path.insert(0, str(Path(__file__).parent))
from vqgan import VQGAN, VQGANConfig  # noqa: E402  (it is beside this file)

GIVEN = Protocol.parse("Cisplatin + Doxorubicin + Mitomycin + Lipiodol")
#: Channels of the U-Net of DiffTumor (arXiv 2402.19470), which MeWM takes over: 64 times 1, 2, 4, 8.
PAPER_CHANNELS = (64, 128, 256, 512)
PATCH = 96


@dataclass
class Clock:
    """Wall and CPU seconds by stage. On a busy machine CPU seconds over threads are nearer to the truth."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.add(name, time.perf_counter() - wall, time.process_time() - cpu)

    def add(self, name: str, wall: float, cpu: float) -> None:
        """Note a stage."""
        self.wall[name], self.cpu[name] = wall, cpu

    @property
    def total(self) -> tuple[float, float]:
        """Wall and CPU seconds of all stages."""
        return sum(self.wall.values()), sum(self.cpu.values())


def mewm_once(model: DynamicsModel, case: Any, steps: int) -> Clock:
    """One simulation of the default bundle, in stages; sampling and decoding are told apart by the last step."""
    ct, labels, grid, hu, patch_labels = case
    clock = Clock()
    with clock.stage("encode"):
        patch = model.encode(hu, patch_labels, grid.spacing[0])
    marks = [(time.perf_counter(), time.process_time())]
    change = model.simulate(
        patch, [GIVEN], [0], steps, on_step=lambda n: marks.append((time.perf_counter(), time.process_time()))
    )
    marks.append((time.perf_counter(), time.process_time()))
    begin, last, end = marks[0], marks[-2], marks[-1]
    clock.add(f"sample ({steps} steps)", last[0] - begin[0], last[1] - begin[1])
    clock.add("decode", end[0] - last[0], end[1] - last[1])
    with clock.stage("compose"):
        compose(ct, labels, change[0], grid, Provenance(GIVEN.text, 0, "benchmark", ""))
    return clock


def paper_once(vqgan: VQGAN, network: DiffusionModelUNet, hu: np.ndarray, steps: int, run: int) -> Clock:
    """The paper's way, `run` of its `steps` steps (all of them unless the machine is too slow to wait)."""
    clock = Clock()
    image = normalise(torch.from_numpy(hu.astype(np.float32)))[None, None]
    with torch.inference_mode():
        with clock.stage("encode"):
            before = vqgan.encode(image)  # (1, 8, 24, 24, 24)
        mask = torch.zeros_like(before[:, :1])

        def predict(noisy: torch.Tensor, moment: float) -> torch.Tensor:
            step = torch.tensor([round(steps * (1 - moment))])
            out: torch.Tensor = network(torch.cat([noisy, before, mask], 1), step)
            return out

        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(before.shape, generator=generator)
        with clock.stage(f"sample ({run} of {steps} steps)"):
            latent = ddpm(predict, noise, run, generator=generator)
        with clock.stage("decode"):
            vqgan.decode(latent)
    return clock


def paper_networks(channels: tuple[int, ...] = PAPER_CHANNELS) -> tuple[VQGAN, DiffusionModelUNet]:
    """VQGAN and U-Net of the paper's sizes with random weights."""
    torch.manual_seed(0)
    config = VQGANConfig()
    network = DiffusionModelUNet(
        spatial_dims=3,
        in_channels=2 * config.embedding + 1,  # noisy latent, masked latent before treatment, mask
        out_channels=config.embedding,
        channels=channels,
        attention_levels=(False,) * (len(channels) - 1) + (True,),
        num_res_blocks=2,
        num_head_channels=channels[-1],
        norm_num_groups=32,
    )
    return VQGAN(config).eval(), network.eval()


def synthetic_patch() -> tuple[Any, ...]:
    """A full synthetic CT with labels, and its treated patch."""
    ct, labels = synthetic_case(SPLITS["test"][0])
    grid = patch_geometry(labels, PATCH)
    hu = resample(ct.array, ct.geometry, grid).astype(np.float32)
    return ct, labels, grid, hu, resample(labels.array, labels.geometry, grid, "nearest", 0)


def median_of(once: Callable[[], Clock], repeats: int) -> Clock:
    """Median of each stage over repeats."""
    runs = [once() for _ in range(repeats)]
    out = Clock()
    for name in runs[0].wall:
        out.add(name, float(np.median([r.wall[name] for r in runs])), float(np.median([r.cpu[name] for r in runs])))
    return out


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", help="default: mewm-small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="of MeWM's sampler, at most 10")
    parser.add_argument("--repeats", type=int, default=5, help="of MeWM; the median counts")
    parser.add_argument("--paper-steps", type=int, default=200)
    parser.add_argument("--paper-run", type=int, help="run only so many of them, and scale the time (it is said)")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    args = parser.parse_args(argv)
    if not 1 <= args.steps <= 10:
        parser.error("--steps must lie in 1 to 10")
    torch.set_num_threads(args.threads)
    case = synthetic_patch()
    bundle = find_bundle(args.bundle, require=("autoencoder", "dynamics"))
    model = DynamicsModel.from_parts(bundle.part("autoencoder"), bundle.part("dynamics"), torch.device("cpu"))
    mewm_once(model, case, args.steps)  # warm-up
    mine = median_of(lambda: mewm_once(model, case, args.steps), args.repeats)
    vqgan, network = paper_networks()
    run = min(args.paper_run or args.paper_steps, args.paper_steps)
    paper_once(vqgan, network, case[3], args.paper_steps, 1)  # warm-up
    his = paper_once(vqgan, network, case[3], args.paper_steps, run)
    sampling = f"sample ({run} of {args.paper_steps} steps)"
    more = args.paper_steps / run - 1
    wall, cpu = (a + more * b for a, b in zip(his.total, (his.wall[sampling], his.cpu[sampling]), strict=True))
    sizes = {
        "mewm_denoiser": count(model.denoiser), "paper_unet": count(network), "paper_vqgan": count(vqgan),
    }  # fmt: skip
    figures = {
        "threads": args.threads,
        "bundle": bundle.name,
        "parameters": sizes,
        "latent": {"mewm": list(model.autoencoder.encode(torch.zeros(1, 1, *(PATCH,) * 3)).shape[1:]),
                   "paper": [VQGANConfig().embedding, *(PATCH // 4,) * 3]},
        "mewm": {"wall": mine.wall, "cpu": mine.cpu, "total_wall": mine.total[0], "total_cpu": mine.total[1]},
        "paper": {"wall": his.wall, "cpu": his.cpu, "total_wall": wall, "total_cpu": cpu, "steps_run": run},
        "ratio_wall": wall / mine.total[0],
        "ratio_cpu": cpu / mine.total[1],
    }  # fmt: skip
    sys.stdout.write(report(figures, mine, his, run, args.paper_steps))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def count(network: torch.nn.Module) -> int:
    """Number of weights."""
    return sum(p.numel() for p in network.parameters())


def report(figures: dict[str, Any], mine: Clock, his: Clock, run: int, steps: int) -> str:
    """The figures as text."""
    lines = [f"{figures['threads']} threads, bundle {figures['bundle']}, seconds (wall; CPU)"]
    for name, clock in (("mewm", mine), ("paper", his)):
        lines += [f"  {name:6s} {stage:28s} {w:9.3f} {clock.cpu[stage]:9.3f}" for stage, w in clock.wall.items()]
        total = figures[name]
        lines.append(f"  {name:6s} {'total':28s} {total['total_wall']:9.3f} {total['total_cpu']:9.3f}")
    if run < steps:
        lines.append(f"  the total of paper is scaled up from {run} of its {steps} steps")
    sizes = figures["parameters"]
    lines.append(
        f"weights: MeWM's denoiser {sizes['mewm_denoiser'] / 1e6:.1f} M; U-Net {sizes['paper_unet'] / 1e6:.1f} M and "
        f"VQGAN {sizes['paper_vqgan'] / 1e6:.1f} M (channels {', '.join(map(str, PAPER_CHANNELS))}, random weights); "
        f"latents {figures['latent']['mewm']} and {figures['latent']['paper']}"
    )
    lines.append(f"paper / mewm: {figures['ratio_wall']:.1f} (wall), {figures['ratio_cpu']:.1f} (CPU)")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
