"""One of the processes of `test_distributed.py`, started by torchrun: COHORT WORK OUT STEPS.

It trains, and writes what it saw to OUT/RANK.json and its weights to OUT/RANK.npz.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from MeWMLib.core.errors import InputError
from MeWMLib.lab.training import checkpoint, dynamics
from MeWMLib.lab.training.distributed import ranks


def main() -> None:
    torch.set_num_threads(1)
    cohort, work, out, steps = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    seen: dict[str, object] = {"first_step": None, "drawn": [], "saved": 0}
    draw, save = dynamics.LatentCohort.batch, checkpoint.Run.save

    def noted_draw(self, size, rng, pairs=4):
        batch = draw(self, size, rng, pairs)
        if size != 24:  # the batch of the validation
            seen["drawn"].append(float(batch["before"].sum()))
        return batch

    def noted_save(self):
        seen["saved"] += 1
        save(self)

    def noted_step(stage, fraction):
        seen["first_step"] = seen["first_step"] or stage

    dynamics.LatentCohort.batch, checkpoint.Run.save = noted_draw, noted_save
    settings = dynamics.DynamicsTraining(steps=steps, widths=(8, 8), condition=16, batch=2, pairs=1, accumulate=2)
    with ranks() as mine:
        layer = torch.nn.Linear(2, 1)
        layer.weight.grad = torch.full((1, 2), 1.0 + 2 * mine.rank)  # 1 and 3; the bias has no gradient
        mine.average_gradients(layer)
        seen["mean"] = layer.weight.grad.tolist()
        seen["from_first"] = mine.from_first(f"rank {mine.rank}")
        mine.require_same(5, "nothing")
        try:
            mine.require_same(mine.rank, "their rank")
        except InputError as error:
            seen["refused"] = str(error)
        trained, figures = dynamics.train(cohort, work, settings, noted_step, mine)
        seen |= {"rank": mine.rank, "size": mine.size, "figures": figures, "backend": dist.get_backend()}
    seen["left"] = not dist.is_initialized()
    np.savez(out / f"{mine.rank}.npz", **trained.tensors())
    (out / f"{mine.rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
