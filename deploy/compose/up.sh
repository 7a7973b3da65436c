#!/usr/bin/env bash
# Starts the deployment with the files that suit this host, and says which it took; COMPOSE_FILE chooses others.
set -euo pipefail
cd "$(dirname "$0")/../.."

OVERRIDES="compose.override.yml compose.override.yaml docker-compose.override.yml docker-compose.override.yaml"

# What the environment says of a setting, else `.env`.
setting() {
    local line value=${!1:-}
    if [ -z "$value" ] && [ -f .env ]; then
        while IFS= read -r line; do
            case "$line" in "$1="*) value=${line#*=} ;; esac
        done <.env
    fi
    value=${value#[\"\']}
    echo "${value%[\"\']}"
}

if ! docker info >/dev/null 2>&1; then
    echo "The container engine does not answer (docker info): start it, or use an account that may." >&2
    exit 1
fi
chosen=$(setting COMPOSE_FILE)
if [ -n "$chosen" ]; then
    echo "Taking the files that COMPOSE_FILE names: $chosen"
    export COMPOSE_FILE=$chosen
else
    COMPOSE_FILE=docker-compose.yml
    SERVING_GPU=$(setting SERVING_GPU)
    export COMPOSE_FILE SERVING_GPU
    if found=$(bash deploy/compose/preflight.sh); then
        reason="$found."
    else
        COMPOSE_FILE=$COMPOSE_FILE:compose.cpu.yaml
        reason="on the CPU, since $found."
    fi
    for file in $OVERRIDES; do
        if [ -f "$file" ]; then
            COMPOSE_FILE=$COMPOSE_FILE:$file
            break
        fi
    done
    echo "Taking $COMPOSE_FILE: $reason"
fi
docker compose up --build --detach --wait --wait-timeout 1200 "$@"
echo "Page and API are at:"
docker compose ps --format '{{.Service}} {{.Ports}}' | grep -- '->'
echo "A key for the API: docker compose run --rm keys create NAME"
