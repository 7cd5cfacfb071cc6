# needs: scaling.tsv
# Peak resident memory of the process while reading one sequence, against its length.
set title "Peak memory of the process" font ",16"
set xlabel "sequence length (tokens)"; set ylabel "MiB"
set logscale x 2; eval binary_tics
set yrange [0:*]; set key top left
set offsets graph 0.02, graph 0.02, graph 0.05, 0
plot rows("scaling.tsv", 1, "lmm") using 2:($6/1024) with linespoints lw 2 pt 7 ps 0.8 lc rgb lmm_color title "neural memory (LMM)", \
     rows("scaling.tsv", 1, "attention") using 2:($6/1024) with linespoints lw 2 pt 5 ps 0.8 lc rgb attention_color title "transformer"
