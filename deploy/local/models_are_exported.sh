#!/usr/bin/env bash
# Succeeds when every shipped card has its exported SavedModel in the folder `$1` (models/). Starts no Python: `make demo`
# and the containers ask each time.
set -euo pipefail
cd "$(dirname "$0")/../.."

shopt -s nullglob
for card in models/weights/*.card.json; do
    stem=$(basename "$card" .card.json)
    exported=${1:-models}/${stem%-*}/${stem##*-}
    [ -e "$exported/saved_model.pb" ] && cmp -s "$card" "$exported/assets.extra/card.json" || exit 1
done
