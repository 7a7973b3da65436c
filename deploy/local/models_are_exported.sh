#!/usr/bin/env bash
# Succeeds when every shipped card has its exported SavedModel under models/. Starts no Python: `make demo` asks each time.
set -euo pipefail
cd "$(dirname "$0")/../.."

shopt -s nullglob
for card in models/weights/*.card.json; do
    stem=$(basename "$card" .card.json)
    exported=models/${stem%-*}/${stem##*-}
    [ -e "$exported/saved_model.pb" ] && cmp -s "$card" "$exported/assets.extra/card.json"
done
