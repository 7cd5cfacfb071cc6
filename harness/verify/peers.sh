#!/bin/sh
# Vectors of other people's packages (docs/peers.md) against the reference and the kernels, where the folder is there that
# TITANS_PEERS names. A wrong number in a copy of a file must be found. Usage: peers.sh BUILD
export LC_ALL=C
build=$1 folder=${TITANS_PEERS:-../shared/peers}
if [ ! -d "$folder" ]; then
    echo "peers: NOT CHECKED, there is no folder $folder (TITANS_PEERS names one; docs/peers.md)"
    exit 0
fi
bad=0
judge() { # judge WHAT ARGUMENT..: the last line; what failed goes to standard error
    what=$1
    shift
    "$build/titans" peers "$folder" "$@" >"$build/peers.log" 2>&1 || bad=1
    grep '^FAIL' "$build/peers.log" >&2
    echo "peers, $what: $(tail -1 "$build/peers.log")"
}
judge reference
judge kernels --impl kernels

# One number changed in a copy must be found.
system=$(sed -n 's#^PASS \([^/]*\)/.*#\1#p' "$build/peers.log" | head -1)
copy=$build/peers
rm -rf "$copy" && mkdir -p "$copy"
cp "$folder/$system.safetensors" "$folder/$system.json" "$copy"
printf '\100\037' | dd of="$copy/$system.safetensors" bs=1 conv=notrunc \
    seek=$(($(wc -c <"$copy/$system.safetensors") - 2)) 2>/dev/null
if "$build/titans" peers "$copy" >"$build/peers.log" 2>&1; then
    echo "peers: a number that was changed in $system was not found" >&2
    bad=1
fi
exit $bad
