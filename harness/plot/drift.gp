# needs: drift.tsv
# Distance of float32 streaming from the double reference, against the tokens read.
set title "Drift of float32 streaming from the double reference" font ",16"
set xlabel "tokens read"; set ylabel "largest error of the weights / largest weight"
set logscale x 2; set logscale y 10; eval binary_tics
set format y "10^{%L}"; set yrange [1e-8:10]; set key outside bottom center horizontal
cases = "'linear, forgetting' 'linear, sparse writes' 'two layers + norm, forgetting' 'two layers, sparse writes'"
colors = "#1b6ca8 #d1603d #4a8c3f #8e5ea2"
plot for [i=1:4] rows("drift.tsv", 1, word(cases, i)) using 2:4 with lines lw 2 lc rgb word(colors, i) title word(cases, i)
