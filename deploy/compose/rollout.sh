#!/usr/bin/env bash
# Runs in the service `rollout`. Alone it puts the models file that is shipped in its place, once; with arguments it is
# `metseg-api models …`, which changes that file and tells TF Serving.
set -euo pipefail

if [ $# -gt 0 ]; then
    exec metseg-api models "$@"
fi
[ -e /models/models.config ] || cp /shipped/models.config /models/models.config
