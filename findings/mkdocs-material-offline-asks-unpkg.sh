#!/usr/bin/env bash
# A site that mkdocs-material builds for reading offline asks unpkg.com for a script on every page.
#
# The plugin "offline" of mkdocs-material 9.8.2 is there so that a site works from a disk without a network. It adds
# https://unpkg.com/iframe-worker/shim to every page, unless "extra: polyfills:" of mkdocs.yml names a file that is called
# like it: with a network, opening a page from disk tells unpkg.com so; without one the search does not work.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check mkdocs-material==9.8.2
mkdir docs
echo "# A page" > docs/index.md
for name in plain named; do
    cat > "$name.yml" <<'YML'
site_name: A site
theme: {name: material, font: false}
plugins: [search, offline]
YML
done
echo "extra: {polyfills: [iframe-worker.js]}" >> named.yml
touch docs/iframe-worker.js
for name in plain named; do
    NO_MKDOCS_2_WARNING=1 env/bin/mkdocs build -q -f "$name.yml" -d "$folder/$name"
    asked=$(grep -o 'https://unpkg.com[^"]*' "$name/index.html" | sort -u || true)
    echo "$name: ${asked:-no address of unpkg.com}"
    eval "$name=\$asked"
done
[ "$plain" = "https://unpkg.com/iframe-worker/shim" ] && [ -z "$named" ] || { echo "mkdocs-material changed"; exit 1; }
echo "As described."
