# Rows of scaling.tsv for one mixer beside attention's at the same length: length, times as fast, times less memory.
$1 == "attention" { speed[$2] = $5; memory[$2] = $6 }
$1 == mixer { speed_of[$2] = $5; memory_of[$2] = $6 }
END {
    for (l in speed_of) if (l in speed) printf "%d\t%.5f\t%.5f\n", l, speed_of[l] / speed[l], memory[l] / memory_of[l] | "sort -n"
}
