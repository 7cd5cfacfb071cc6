# Of every checkpoint of gates.tsv and needle-gates.tsv: how far the gates of its first layer should reach, and the longest
# distance at which half of the needles are found; behind it the name of the recipe. Models of one memory layer that find 36
# of 40 at the training length, as in harness/table/gates-reach.sql.
function name(file) { sub(/.*sigmoid-/, "", file); sub(/-passkey-s.*/, "", file); return file }
/^#/ || $1 == "mixer" { next }
FNR == NR { if ($4 == 0) { reach[$13] += 1 / ($9 + 2 * $11 / $6); heads[$13]++ } next }
$4 == "all" && $3 == 256 && $6 >= 36 && $12 !~ /-deep-/ { learned[$12] }
$4 != "all" { at = $12 SUBSEP 10 * int((1 - $4) * $3 / 10 + 0.5); right[at] += $6; asked[at] += $5 }
END {
    for (at in right) {
        split(at, part, SUBSEP)
        if (2 * right[at] >= asked[at] && part[2] > half[part[1]]) half[part[1]] = part[2]
    }
    for (file in half) if (file in learned) printf "%g\t%g\t%s\n", reach[file] / heads[file], half[file], name(file) | "sort"
}
