#!/usr/bin/env bash
# Beside one busy program torch takes several times as long with two threads as with one, unless its threads sleep.
#
# The wheel of torch 2.13.0 for Linux brings GNU's OpenMP, whose threads spin while they wait for one another. On a
# computer with as many busy programs as cores, less one, a network of small 3D convolutions so waits for a thread that
# has no core, in every layer. One thread alone is not touched, nor are many that sleep: OMP_WAIT_POLICY=PASSIVE, which
# has to be in the environment before torch is imported. Seen on two cores: 6 times the seconds of one thread.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"; kill $busy 2>/dev/null || true' EXIT
busy=""
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.4 2>/dev/null
cat > look.py <<'PY'
import time

import torch

net = torch.nn.Sequential(*[torch.nn.Conv3d(16, 16, 3, padding=1) for _ in range(20)]).eval()
x = torch.randn(1, 16, 20, 20, 20)
with torch.inference_mode():
    net(x)
    began = time.monotonic()
    for _ in range(40):
        net(x)
print(f"{time.monotonic() - began:.2f}")
PY
cores=$(env -u OMP_NUM_THREADS nproc)
[ "$cores" -gt 1 ] || { echo "Needs a computer with two cores or more."; exit 2; }
for _ in $(seq 2 "$cores"); do
    env/bin/python -c 'while True: pass' & busy="$busy $!"
done
one=$(env -u OMP_WAIT_POLICY OMP_NUM_THREADS=1 env/bin/python look.py)
spin=$(env -u OMP_WAIT_POLICY OMP_NUM_THREADS="$cores" env/bin/python look.py)
sleeps=$(OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS="$cores" env/bin/python look.py)
echo "torch 2.13.0, $cores threads on $cores cores beside $((cores - 1)) busy: one thread $one s, spinning $spin s, sleeping $sleeps s"
awk -v spin="$spin" -v sleeps="$sleeps" 'BEGIN { exit !(spin > 1.5 * sleeps) }' || { echo "torch changed, or the computer is idle"; exit 1; }
echo "As described."
