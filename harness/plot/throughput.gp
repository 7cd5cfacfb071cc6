# needs: scaling.tsv
# Tokens per second of reading one sequence, against its length.
set title "Reading speed" font ",16"
set xlabel "sequence length (tokens)"; set ylabel "tokens per second"
set logscale x 2; set logscale y 10; eval binary_tics
set format y "10^{%L}"; set key bottom left
set offsets graph 0.02, graph 0.02, graph 0.1, graph 0.1
plot rows("scaling.tsv", 1, "lmm") using 2:5 with linespoints lw 2 pt 7 ps 0.8 lc rgb lmm_color title "neural memory (LMM)", \
     rows("scaling.tsv", 1, "attention") using 2:5 with linespoints lw 2 pt 5 ps 0.8 lc rgb attention_color title "transformer"
