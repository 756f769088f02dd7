#!/usr/bin/env bash
# A CPU with instructions for bfloat16 may convolve in half the speed of float32, and torch's capabilities do not tell.
#
# torch.cpu.get_capabilities() of torch 2.13.0 says avx512_bf16 for Intel's Xeons from Sapphire Rapids on and for AMD's
# EPYCs from Zen 4 on. On an EPYC bfloat16 takes some 0.4 of the time of float32. On a Xeon (family 6, model 207) whose
# AMX a virtual machine hides, or where ONEDNN_MAX_CPU_ISA keeps oneDNN from it as below, it takes 1.5 to 2 times the
# time: a program that turns on autocast because the flag is there becomes slower.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.4 2>/dev/null
cat > look.py <<'PY'
import sys
import time

import torch

known = torch.cpu.get_capabilities()
if not known.get("avx512_bf16") or "Intel" not in str(known.get("cpu_name")):
    print(f"Needs an Intel CPU with AVX512-BF16; this is {known.get('cpu_name')}.")
    sys.exit(2)
torch.set_num_threads(1)


def ms(dtype):
    """The shortest of 15 convolutions of two images, so that other programs do not decide."""
    image, weight, taken = torch.randn(2, 80, 20, 20, 20).to(dtype), torch.randn(80, 80, 3, 3, 3).to(dtype), []
    for _ in range(15):
        begun = time.perf_counter()
        torch.nn.functional.conv3d(image, weight, padding=1)
        taken.append(1000 * (time.perf_counter() - begun))
    return min(taken)


with torch.inference_mode():
    full, half = ms(torch.float32), ms(torch.bfloat16)
print(f"avx512_bf16: {known['avx512_bf16']}, amx_bf16: {known['amx_bf16']}; float32 {full:.1f} ms, bfloat16 {half:.1f} ms")
if half < 1.2 * full:
    print("torch or this CPU behaves otherwise")
    sys.exit(1)
print("As described.")
PY
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 env/bin/python look.py
