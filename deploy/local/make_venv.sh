#!/usr/bin/env bash
# Makes the virtual environment `$1` with a Python that the pinned packages support (PYTHON=… chooses one).
set -euo pipefail

venv=$1
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if "$name" -c "$supported" 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    return 1
}

if ! python=$(find_python); then
    echo "Python 3.11, 3.12 or 3.13 is needed (found: $(python3 --version 2>&1 || true)). PYTHON=… names another." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python$version-venv with apt-get."
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq </dev/null
        apt-get install -y -qq --no-install-recommends "python$version-venv" </dev/null >/dev/null
    else
        echo "$python cannot make virtual environments. On Debian and Ubuntu: apt install python$version-venv" >&2
        exit 1
    fi
fi
if ! { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$supported"; }; then
    "$python" -m venv --clear "$venv"
fi
