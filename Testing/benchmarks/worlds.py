"""Seconds to draw a patient's patch before treatment and after eight protocols, in version 3 of the world against 2.

`python Testing/benchmarks/worlds.py [--patients 12] [--start 0]`
"""

from __future__ import annotations

import argparse
import time

from MeWMLib.cohorts.synthetic.patients import WORLDS
from MeWMLib.lab.synthetic.cases import draw_case


def main() -> None:
    """Print the seconds a patient and their ratio; versions take turns, so that load from elsewhere meets both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--start", type=int, default=0, help="seed of the first patient")
    args = parser.parse_args()
    taken = dict.fromkeys(WORLDS, 0.0)
    for world in WORLDS:
        draw_case(args.start, world=world)  # what is read once
    for seed in range(args.start, args.start + args.patients):
        for world in WORLDS:
            began = time.process_time()
            draw_case(seed, world=world)
            taken[world] += time.process_time() - began
    for world, seconds in taken.items():
        print(f"world {world}: {seconds / args.patients:.2f} s of a core a patient with eight outcomes")
    print(f"ratio {taken[3] / taken[2]:.2f} over {args.patients} patients")


if __name__ == "__main__":
    main()
