#!/usr/bin/env bash
# One small image through a Conv3d of torch takes longer than two, and longer than one larger image.
#
# With torch 2.13.0 on an x86 CPU, one thread, inference, float32: one image of 64 channels and 17^3 voxels takes about
# 2.8 times what two of them take together, and 4 times what one of 18^3 takes. torch leaves oneDNN for its own code
# where samples x channels x slices x rows come to 20,480 or less (64 x 17 x 17 = 18,496; 64 x 18 x 18 = 20,736) and there
# is one sample; columns do not count. A U-Net's coarse levels lie below it. torch.ops.aten.mkldnn_convolution computes
# the small one in a third of the time, with the same result but for rounding.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.4 2>/dev/null
cat > look.py <<'PY'
import sys
import time

import torch

torch.set_num_threads(1)
if not torch.backends.mkldnn.is_available():
    print("Needs a build of torch with oneDNN.")
    sys.exit(2)


def ms(work):
    """The shortest of 15, so that other programs do not decide."""
    taken = []
    for _ in range(15):
        begun = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - begun))
    return min(taken)


conv = torch.nn.Conv3d(64, 64, 3, padding=1).eval()
small, larger = torch.randn(1, 64, 17, 17, 17), torch.randn(1, 64, 18, 18, 18)
pair = torch.cat([small, small])


def by_onednn():
    return torch.ops.aten.mkldnn_convolution(small, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, 1)


with torch.inference_mode():
    one, two, big, direct = (ms(work) for work in (lambda: conv(small), lambda: conv(pair), lambda: conv(larger), by_onednn))
    apart = float((by_onednn() - conv(small)).abs().max())
print(f"one of 17^3 {one:.1f} ms, two of 17^3 {two:.1f} ms, one of 18^3 {big:.1f} ms, one of 17^3 by oneDNN {direct:.1f} ms")
print(f"largest difference of the two results {apart:.1e}")
if not (one > 1.3 * two and one > 1.5 * big and one > 1.5 * direct and apart < 1e-4):
    print("torch changed")
    sys.exit(1)
print("As described.")
PY
env/bin/python look.py
