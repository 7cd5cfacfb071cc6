# needs: needle.tsv needle-positions.tsv passkey-500-long.tsv
# Exact match against sequence length: all depths and training seeds together, whiskers from the least to the greatest seed.
# The transformer is the one that has learned its training length. Open signs, no line: one seed. Mixers stand a little beside each other.
set title "Passkey: seven digits recalled exactly" font ",15"
set xlabel "sequence length (tokens)"; set ylabel "samples right"
set logscale x 2; eval binary_tics
set format y "%.0f %%"; set yrange [-3:104]; set offsets graph 0.02, graph 0.04, 0, 0
set arrow 1 from 256, graph 0 to 256, graph 1 nohead dt 2 lc rgb "#888888"
set label 1 "dashed: longest\nsequence in\ntraining" at 1150, 46 textcolor rgb "#666666" font ",11"
set label 2 "open: seed 0 alone" at 1300000, 90 center textcolor rgb "#666666" font ",11"
beside(i) = 1 + 0.06 * (i - 3.5)
learned = chosen("needle-positions.tsv", "attention", "passkey", "attention-rope-passkey", "-")
both(m) = sprintf("< awk -F'\t' -v mixer=%s -v task=passkey -f harness/plot/style/pool.awk %s/needle.tsv %s/passkey-500-long.tsv", m, results, results)
rows(m) = m eq "attention" ? learned : both(m)
far(m) = sprintf("< cat %s/needle-long*.tsv 2>/dev/null | awk -F'\\t' '$1==\"%s\" && $4==\"all\"'", results, m)
plot for [i=1:words(mixers)] m=word(mixers, i) rows(m) using ($1*beside(i)):(100*$2):(100*$3):(100*$4) with yerrorlines lw 1.8 pt sign(m) ps 0.7 lc rgb color(m) title word(names, i), \
     for [i=1:2] m=word(mixers, i) far(m) using ($3*beside(i)):(100*$7) with points pt sign(m)-1 ps 1.1 lw 1.8 lc rgb color(m) notitle
