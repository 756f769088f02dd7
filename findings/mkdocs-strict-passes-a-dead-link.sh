#!/usr/bin/env bash
# mkdocs build --strict lets a dead link pass, if its page is left out by exclude_docs, or if it is told to be quiet.
#
# With --strict a link to a page that does not exist ends the build of mkdocs 1.6.1. A link to a page that exists and
# that "exclude_docs" leaves out is an INFO, which --strict does not count: the page is built with a link to nothing.
# With --quiet warnings are not counted either, so that "build --quiet --strict" passes whatever is wrong.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check mkdocs==1.6.1
mkdir docs
printf 'site_name: A site\nexclude_docs: left-out.md\n' > mkdocs.yml
echo "# Left out" > docs/left-out.md
echo "[there](left-out.md)" > docs/index.md
passed=0; env/bin/mkdocs build --strict -d "$folder/one" 2> one.txt || passed=$?
linked=$(grep -o 'href="left-out[^"]*"' one/index.html || true)
there=$([ -e one/left-out.md ] || [ -e one/left-out/index.html ] && echo yes || echo no)
echo "a page that is left out: exit code $passed, link in the page: ${linked:-none}, page built: $there"
echo "[there](nowhere.md)" > docs/index.md
stopped=0; env/bin/mkdocs build --strict -d "$folder/two" 2> two.txt || stopped=$?
quiet=0; env/bin/mkdocs build --quiet --strict -d "$folder/three" || quiet=$?
echo "a page that does not exist: exit code $stopped, with --quiet $quiet"
[ "$passed" = 0 ] && [ "$quiet" = 0 ] && [ -n "$linked" ] && [ "$there" = no ] && [ "$stopped" != 0 ] || { echo "mkdocs changed"; exit 1; }
echo "As described."
