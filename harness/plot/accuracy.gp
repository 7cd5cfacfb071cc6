# needs: needle.tsv
# Exact match against sequence length, 95 % Clopper-Pearson intervals, all depths together.
set title "Passkey: seven digits recalled exactly" font ",16"
set xlabel "sequence length (tokens)"; set ylabel "samples right"
set logscale x 2; eval binary_tics
set format y "%.0f %%"; set yrange [-3:104]; set offsets graph 0.02, graph 0.02, 0, 0
set key at graph 0.98, graph 0.55 right
set arrow 1 from 256, graph 0 to 256, graph 1 nohead dt 2 lc rgb "#888888"
set label 1 "longest sequence\nin training" at 275, 50 textcolor rgb "#666666" font ",11"
plot rows2("needle.tsv", 1, "lmm", 4, "all") using 3:(100*$7):(100*$8):(100*$9) with yerrorlines lw 2 pt 7 ps 0.8 lc rgb lmm_color title "neural memory (LMM)", \
     rows2("needle.tsv", 1, "attention", 4, "all") using 3:(100*$7):(100*$8):(100*$9) with yerrorlines lw 2 pt 5 ps 0.8 lc rgb attention_color title "transformer, equal size"
