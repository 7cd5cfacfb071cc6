# Rows of kernels.tsv as bars: label, per cent, goal (0: none), kind (0: of the FMA peak, 1: of the memory roofline).
function bar(label, share, goal, kind) { printf "%s\t%.2f\t%d\t%d\n", label, share, goal, kind }
function goal_of(text) { return text ~ /% of peak/ && match(text, />= [0-9]+/) ? substr(text, RSTART + 3, RLENGTH - 3) : 0 }
/^#/ || $1 == "kernel" { next }
$1 ~ /^gemm\./ && $7 == "summary" { bar($1 ", median", $8, goal_of($9), 0); next }
# relatives have a table of their own
$1 ~ /^(delta|momentum|scan)/ || ($1 ~ /^train/ && $4 !~ /^(attention|lmm|mac|mag|mal|mal_h3|swa) /) { next }
$1 ~ /^gemm/ || $7 ~ /naive|thread|attend|summary/ { next }
$7 == "roofline" { bar($1, 100 * $8, 0, 1); next }
$6 + 0 > 0 && !(($1, $4) in seen) {
    seen[$1, $4]
    split($4, word, " ")
    bar($1 " " ($1 ~ /^train/ ? word[1] : $4), $6, goal_of($9), 0)
}
