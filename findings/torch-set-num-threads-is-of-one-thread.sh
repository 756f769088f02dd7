#!/usr/bin/env bash
# torch.set_num_threads in one Python thread changes another one, or not, by whether that one has used torch before.
#
# Its documentation reads as if it were a setting of the process. With torch 2.13.0 on Linux (OpenMP of GNU) a thread of
# a pool that sets it to 1 leaves the main thread at its own number if the main thread has computed something in
# parallel or has only asked for the number; if it has not, not even after setting the number itself, the main thread
# finds itself at 1. Set to 3 by the main thread afterwards, the thread of the pool keeps its 1, and a new thread has 3.
# A pool whose threads compute alone is therefore safe for the rest of a program once torch.get_num_threads() was called
# in the thread that shall keep its number.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.4 2>/dev/null
cat > look.py <<'PY'
import os
import sys
from concurrent.futures import ThreadPoolExecutor

os.environ.pop("OMP_NUM_THREADS", None)
import torch

before = sys.argv[1]
if before == "nothing":
    asked = None
elif before == "sets it to 2":
    torch.set_num_threads(2)
elif before == "asks for it":
    torch.get_num_threads()
elif before == "sets it to 2 and asks for it":
    torch.set_num_threads(2)
    torch.get_num_threads()
pool = ThreadPoolExecutor(1, initializer=lambda: torch.set_num_threads(1))
first = pool.submit(torch.get_num_threads).result()
main = torch.get_num_threads()
torch.set_num_threads(3)
print(first, main, pool.submit(torch.get_num_threads).result(), ThreadPoolExecutor(1).submit(torch.get_num_threads).result())
PY
told() { env/bin/python look.py "$1"; }
cores=$(env/bin/python -c 'import os; os.environ.pop("OMP_NUM_THREADS", None); import torch; print(torch.get_num_threads())')
[ "$cores" -gt 1 ] || { echo "Needs a computer with two cores or more."; exit 2; }
for before in "nothing" "sets it to 2" "asks for it" "sets it to 2 and asks for it"; do
    read -r pool main pool_after new <<< "$(told "$before")"
    echo "main thread first $before: a pool's thread sets 1 and reads $pool, main reads $main; main sets 3: pool $pool_after, new thread $new"
    case "$before" in
        "nothing" | "sets it to 2") expected=1 ;;
        "asks for it") expected=$cores ;;
        *) expected=2 ;;
    esac
    [ "$pool $main $pool_after $new" = "1 $expected 1 3" ] || { echo "torch changed"; exit 1; }
done
echo "As described."
