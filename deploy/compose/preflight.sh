#!/usr/bin/env bash
# Says in words whether containers can compute on a GPU of this host (SERVING_GPU: its number or UUID).
# Status: 0 they can, 1 there is none, 2 there is one, and something is missing.
set -euo pipefail

# CUDA 12 runs on any driver from 525 on, but code that is compiled at the start needs one as new as CUDA 12.5.
OLDEST_DRIVER=525
OLDEST_DRIVER_THAT_COMPILES=555

missing() {
    echo "$1"
    exit 2
}

ask() {
    nvidia-smi "$@" --format=csv,noheader 2>/dev/null
}

if ! command -v nvidia-smi >/dev/null; then
    echo "no NVIDIA driver is installed here (no nvidia-smi)"
    exit 1
fi
# A part of a card (MIG) is none of nvidia-smi's numbers; then the first card speaks for it.
gpu=${SERVING_GPU:-0}
case "$gpu" in MIG-*) gpu=0 ;; esac

driver=$(ask --id="$gpu" --query-gpu=driver_version) ||
    missing "nvidia-smi finds no GPU $gpu: load the NVIDIA driver (after an update: restart), or set SERVING_GPU"
major=${driver%%.*}
if ((major < OLDEST_DRIVER)); then
    missing "the NVIDIA driver is $driver, and TensorFlow needs $OLDEST_DRIVER or newer: update it"
fi

if ! command -v nvidia-container-cli >/dev/null && ! docker info --format '{{json .Runtimes}}' | grep -q nvidia; then
    missing "the container engine cannot hand a GPU on: install the NVIDIA Container Toolkit and restart the engine"
fi

name=$(ask --id="$gpu" --query-gpu=name)
generation=$(ask --id="$gpu" --query-gpu=compute_cap)
digits=${generation/./}
if ((digits < 60)); then
    missing "the $name has compute capability $generation, and TensorFlow has code for 6.0 and newer"
fi
if ((digits >= 100)); then
    missing "the $name has compute capability $generation, for which TensorFlow 2.20 fails and 2.21 was never tried; COMPOSE_FILE=docker-compose.yml tries it"
fi
if ((digits >= 90 && major < OLDEST_DRIVER_THAT_COMPILES)); then
    missing "the NVIDIA driver is $driver, and the $name needs $OLDEST_DRIVER_THAT_COMPILES or newer: update it"
fi
echo "the $name (compute capability $generation, driver $driver) can be handed to containers"
