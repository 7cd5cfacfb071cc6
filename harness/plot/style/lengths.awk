# Rows of needle tables (passkey, all depths, training seed 0) as one row a mixer: name, right out of 40 at 16K, 4K, 1K, 256.
/^#/ || $4 != "all" || $2 != "passkey" || $11 != 0 || $5 + 0 == 0 { next }
$3 == 256 || $3 == 1024 || $3 == 4096 || $3 == 16384 { known[$1]; right[$1, $3] = 40 * $6 / $5 }
END {
    for (m in known)
        printf "%s\t%d\t%d\t%d\t%d\n", m, right[m, 16384], right[m, 4096], right[m, 1024], right[m, 256]
}
