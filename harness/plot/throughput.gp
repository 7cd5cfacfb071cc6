# needs: scaling.tsv
# Tokens per second of reading one sequence, against its length.
set title "Reading speed" font ",16"
set xlabel "sequence length (tokens)"; set ylabel "tokens per second"
set logscale x 2; set logscale y 10; eval binary_tics
set format y "10^{%L}"; set key outside right center
set offsets graph 0.02, graph 0.02, 0, 0; set yrange [1e3:2e5]
plot for [i=1:words(mixers)] rows("scaling.tsv", 1, word(mixers, i)) using 2:5 with linespoints lw 2 pt 4+i ps 0.8 lc rgb color(word(mixers, i)) title word(names, i)
