#!/usr/bin/env bash
# Healthy while every model of the models file has a version that answers. Runs in the container of TensorFlow Serving,
# whose image has bash, sed and grep, but neither Python nor a client for its health check.
set -euo pipefail

config=${1:-/models/models.config}
port=${2:-8501}

models=$(sed -n 's/^ *name: *"\([^"]*\)".*/\1/p' "$config")
[ -n "$models" ] || { echo "$config names no model"; exit 1; }
for model in $models; do
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET /v1/models/%s HTTP/1.0\r\n\r\n' "$model" >&3
    grep -q '"AVAILABLE"' <&3 || { echo "no version of $model answers"; exit 1; }
    exec 3>&-
done
