#!/usr/bin/env bash
# Writes sbom/<image>.cdx.json, a CycloneDX list of the Python packages in each image; asks nobody on a network.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p sbom "$folder/site"
# The tool asks an interpreter for its path; the images' own need not run here, what they hold is enough.
printf '#!/bin/sh\nprintf %%s "[\\"%s\\"]"\n' "$folder/site" >"$folder/python"
chmod +x "$folder/python"

for image in api worker ui trainer; do
    name=metseg-$image:${TAG:-latest}
    rm -rf "$folder/site"/*
    docker run --rm --network none --entrypoint sh "$name" -c \
        'cd /opt/metseg/lib/python3*/site-packages && tar -c -- *.dist-info' | tar -x -C "$folder/site"
    .venv/bin/cyclonedx-py environment --output-reproducible --pyproject "services/$image/pyproject.toml" \
        --output-file "sbom/metseg-$image.cdx.json" "$folder/python"
    echo "sbom/metseg-$image.cdx.json: $(find "$folder/site" -maxdepth 1 -name '*.dist-info' | wc -l) packages of $name"
done
