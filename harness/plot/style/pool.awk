# Rows of needle.tsv for one mixer and task, and where they are given those whose checkpoint matches and that were asked with
# `set`: length, pooled share right, least and greatest share of a training seed.
$1 == mixer && $2 == task && $4 == "all" && $12 ~ checkpoint && (set == "" || $13 == set) {
    if (!($3 in samples) || $7 < low[$3]) low[$3] = $7
    if (!($3 in samples) || $7 > high[$3]) high[$3] = $7
    samples[$3] += $5
    right[$3] += $6
}
END {
    for (l in samples) printf "%d\t%.5f\t%.5f\t%.5f\n", l, right[l] / samples[l], low[l], high[l] | "sort -n"
}
