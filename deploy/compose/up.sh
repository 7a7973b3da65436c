#!/usr/bin/env bash
# Starts the deployment with the files that suit this host, and says which it took; COMPOSE_FILE chooses others.
set -euo pipefail
cd "$(dirname "$0")/../.."

has_gpu() {
    command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1 || return 1
    command -v nvidia-container-cli >/dev/null || docker info --format '{{json .Runtimes}}' | grep -q nvidia
}

if [ -n "${COMPOSE_FILE:-}" ]; then
    echo "Taking the files that COMPOSE_FILE names: $COMPOSE_FILE"
elif has_gpu; then
    export COMPOSE_FILE=docker-compose.yml
    echo "Taking $COMPOSE_FILE: this host has a GPU, and its engine can hand it on."
else
    export COMPOSE_FILE=docker-compose.yml:compose.cpu.yaml
    echo "Taking $COMPOSE_FILE: no GPU that the container engine could hand on was found here."
fi
docker compose up --build --detach --wait --wait-timeout 600 "$@"
echo "Page and API are at:"
docker compose ps --format '{{.Service}} {{.Ports}}' | grep -- '->'
echo "A key for the API: docker compose run --rm keys create NAME"
