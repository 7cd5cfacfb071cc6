# Tables of training speed -> mixer, speed over attention's at the longest length, then that of every length.
/^#/ { next }
$1 == "mixer" { next }
{ if (!(($3) in seen)) { seen[$3] = 1; length_at[++lengths] = $3 } speed[$1, $3] = $7; name[$1] = 1 }
END {
    for (mixer in name) {
        line = mixer "\t" speed[mixer, length_at[lengths]] / speed["attention", length_at[lengths]]
        for (i = 1; i <= lengths; i++) line = line "\t" speed[mixer, length_at[i]] / speed["attention", length_at[i]]
        print line
    }
}
