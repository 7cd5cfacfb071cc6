# Rows of needle.tsv for one mixer, passkey, single depths: place of the length, place of the depth, per cent over all seeds.
BEGIN { split("256 1024 4096 16384 131072", lengths, " "); for (i in lengths) place[lengths[i]] = i - 1 }
$1 == mixer && $2 == "passkey" && $4 != "all" && $3 in place {
    cell = place[$3] "\t" int(4 * $4 + 0.5)
    samples[cell] += $5
    right[cell] += $6
}
END { for (cell in samples) printf "%s\t%.4f\n", cell, 100 * right[cell] / samples[cell] | "sort -n -k1,1 -k2,2" }
