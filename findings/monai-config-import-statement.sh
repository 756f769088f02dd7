#!/usr/bin/env bash
# In a MONAI bundle "$import safetensors.torch" leaves the name safetensors undefined; "$from ... import ..." works.
#
# An entry "imports" of a bundle's configuration may hold statements whose names later expressions use. MONAI 1.6.1 binds
# for "import a.b" the key "a.b" instead of the name a, as Python would: the next "$a.b.f(...)" fails with a NameError.
# The same import alone, without a dot, is bound; so is "from a.b import f". Bundles that load weights from safetensors
# meet this at once.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check monai==1.6.1 torch==2.13.0
cat > look.py <<'PY'
from monai.bundle import ConfigParser


def value(statement: str, expression: str) -> str:
    parser = ConfigParser({"imports": [statement], "here": expression})
    try:
        return str(parser.get_parsed_content("here"))
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        return f"{type(error).__name__}: {error}"


seen = {
    "import with a dot": value("$import os.path", "$os.path.basename('a/b')"),
    "import without one": value("$import math", "$math.floor(1.5)"),
    "from ... import": value("$from os.path import basename", "$basename('a/b')"),
}
for name, found in seen.items():
    print(f"{name}: {found}")
assert "NameError" in seen["import with a dot"], "MONAI changed"
assert seen["import without one"] == "1" and seen["from ... import"] == "b", "MONAI changed"
print("As described.")
PY
env/bin/python look.py
