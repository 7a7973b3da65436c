#!/usr/bin/env bash
# Runs in the service `keys`. Alone it makes, once, the API keys that the installation itself uses: the page's and
# Prometheus's, each in a volume that only its user mounts. With arguments it is `metseg-api keys …`.
set -euo pipefail

# provide FILE OWNER SCOPE…: a key in FILE that counts; a lost or revoked one is replaced.
provide() {
    local file=$1 owner=$2 scopes=() id
    for scope in "${@:3}"; do scopes+=(--scope "$scope"); done
    if [ -s "$file" ]; then
        id=$(cut -d_ -f2 "$file")
        metseg-api keys list | grep -q "^$id  .*  counts\$" && return
    fi
    metseg-api keys create "$owner" "${scopes[@]}" >"$file.new"
    chmod 444 "$file.new" # whoever may mount the volume is another user
    mv -f "$file.new" "$file"
}

if [ $# -gt 0 ]; then
    exec metseg-api keys "$@"
fi
provide /secrets/page/key page submit read
provide /secrets/monitoring/key monitoring admin
