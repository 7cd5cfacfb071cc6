# Yours beside published: rows that both tables have, in a line a table and mixer. Usage: awk -f beside.awk PUBLISHED YOURS
# Needles: right of asked, all depths and seeds, and whether every row is the same, which it has to be where prose and words
# are. Everything else: the median of yours over published.
BEGIN { FS = "\t" }
FNR == 1 { file++; split("", at) }
# "# rows of CHECKPOINT: {.. "prose":"HASH","word lists":"HASH" ..}"
/^# rows of / && match($0, /"prose":"[0-9a-f]*","word lists":"[0-9a-f]*"/) {
    texts = substr($0, RSTART, RLENGTH)
    split(substr($0, 11), part, ": ")
    checkpoint = part[1]
    if (file == 1) of[checkpoint] = texts
    else if (checkpoint in of && of[checkpoint] != texts) other = 1
}
/^#/ { next }
!("mixer" in at) && !("kernel" in at) { for (i = 1; i <= NF; i++) at[$i] = i; needles = "correct" in at; next }
needles && $at["depth"] != "all" { next }
{
    rate = "tokens_per_s" in at ? $at["tokens_per_s"] : needles ? $at["correct"] : $at["gflops"]
    key = needles ? base($at["checkpoint"]) FS ("set" in at ? $at["set"] : "") FS $at["task"] FS $at["length"] FS $at["samples"] \
                  : "kernel" in at ? $1 FS $3 FS $4 FS $7 : $1 FS $2 FS $3 FS $4
    if (file == 1) { published[key] = rate; next }
    if (!(key in published) || rate + 0 != rate) next
    if (needles) {
        asked[$at["mixer"]] += $at["samples"]
        yours[$at["mixer"]] += rate
        theirs[$at["mixer"]] += published[key]
        rows++
        differ += rate != published[key]
    } else if (published[key] > 0 && rate > 0)
        ratio[++n] = rate / published[key]
}
function base(path, parts) { return parts[split(path, parts, "/")] }
function median(i, j, x) {
    for (i = 2; i <= n; i++) {
        x = ratio[i]
        for (j = i - 1; j > 0 && ratio[j] > x; j--) ratio[j + 1] = ratio[j]
        ratio[j + 1] = x
    }
    return n % 2 ? ratio[(n + 1) / 2] : (ratio[n / 2] + ratio[n / 2 + 1]) / 2
}
END {
    name = FILENAME
    sub(/.*\//, "", name)
    for (m in asked)
        printf "  %-22s %-10s %5d of %d right, published %d\n", name, m, yours[m], asked[m], theirs[m] | "sort -k2"
    close("sort -k2")
    if (rows && other) printf "  %-22s rows       cannot be compared: prose or words are not the published ones (docs/files.md)\n", name
    else if (differ) printf "  %-22s rows       %d of %d DIFFER from the published ones\n", name, differ, rows
    else if (rows) printf "  %-22s rows       %d of %d are the published ones, to the digit\n", name, rows, rows
    if (n) printf "  %-22s speed      %.2f times the published, median of %d rows\n", name, median(), n
}
