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
# Someone who sits there is asked.
if [ -t 0 ] && [ -t 2 ]; then
    printf 'make deps: apt-get install%s ? [Y/n] ' "$missing" >&2
    read -r answer
    case $answer in n* | N*) echo "make deps: nothing was installed; NODEPS=1 goes on without" >&2; exit 1 ;; esac
fi
echo "make deps: installing$missing"
# shellcheck disable=SC2086
$root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
