#!/usr/bin/env bash
# Runs in the service `rollout`. Alone it lets TF Serving serve the shipped models that its file does not know yet; with
# arguments it is `metseg-api models …`, which changes that file and tells TF Serving.
set -euo pipefail

if [ $# -gt 0 ]; then
    exec metseg-api models "$@"
fi
exec metseg-api models add /shipped/models.config
