# Tokens written per sample, all layers together, and the share right at 16K, of one mixer's checkpoints of one task.
FNR == 1 { file++ }
file == 1 && $1 == mixer && $2 == task { written[$9] += $7 }
file > 1 && $3 == 16384 && $4 == "all" && $12 in written { print written[$12] "\t" $7 }
