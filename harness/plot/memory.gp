# needs: scaling.tsv
# Peak resident memory of the process while reading one sequence, against its length.
set title "Peak memory of the process" font ",16"
set xlabel "sequence length (tokens)"; set ylabel "MiB"
set logscale x 2; eval binary_tics
set logscale y 2; set yrange [8:*]; set key outside right center
set offsets graph 0.02, graph 0.02, 0, graph 0.05
plot for [i=1:words(mixers)] rows("scaling.tsv", 1, word(mixers, i)) using 2:($6/1024) with linespoints lw 2 pt 4+i ps 0.8 lc rgb color(word(mixers, i)) title word(names, i)
