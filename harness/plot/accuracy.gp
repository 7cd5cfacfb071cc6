# needs: needle.tsv
# Exact match against sequence length: all depths and training seeds together; whiskers from the worst to the best seed.
set title "Passkey: seven digits recalled exactly" font ",16"
set xlabel "sequence length (tokens)"; set ylabel "samples right"
set logscale x 2; eval binary_tics
set format y "%.0f %%"; set yrange [-3:104]; set offsets graph 0.02, graph 0.02, 0, 0
set key at graph 0.98, graph 0.62 right
set arrow 1 from 256, graph 0 to 256, graph 1 nohead dt 2 lc rgb "#888888"
set label 1 "longest sequence\nin training" at 275, 50 textcolor rgb "#666666" font ",11"
plot for [i=1:words(mixers)] pooled("needle*.tsv", word(mixers, i), "passkey") using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 2 pt 4+i ps 0.8 lc rgb color(word(mixers, i)) title word(names, i)
