#!/usr/bin/env bash
# torchrun -m MODULE --start X ends with "ambiguous option", though --start is an option of the module.
#
# torchrun of torch 2.13.0 lets argparse complete abbreviations among all words, also those behind the module that is to
# be run: a program's --start, --node or --max is taken for a shortened option of torchrun's own. With -- between -m and
# the module the words are left to the program.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy
echo 'import sys; print("given:", sys.argv[1:])' > program.py
first=0; env/bin/torchrun --nproc-per-node 1 -m program begin --start X > first.txt 2>&1 || first=$?
grep -o "ambiguous option.*" first.txt | head -1
env/bin/torchrun --nproc-per-node 1 -m -- program begin --start X 2>/dev/null | tee second.txt
[ "$first" != 0 ] && grep -q "ambiguous option" first.txt && grep -q "'--start', 'X'" second.txt || { echo "torchrun changed"; exit 1; }
echo "As described."
