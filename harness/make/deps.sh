#!/bin/sh
# Installs the Debian packages named as arguments that are missing; without apt, says what is needed and stops.
export LC_ALL=C
missing=""
if command -v dpkg-query >/dev/null 2>&1; then
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && exit 0
else
    missing=" $*"
fi
[ -n "$NODEPS" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "make deps: this system has no apt-get; install the equivalents of:$missing, then say make NODEPS=1" >&2
    exit 1
fi
root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "make deps: not root and no sudo; as root run: apt-get install$missing" >&2
        exit 1
    fi
    root=sudo
fi
echo "make deps: installing$missing"
# shellcheck disable=SC2086
$root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
