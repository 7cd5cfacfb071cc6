# needs: drift.tsv
# Distance of float32 streaming from the double reference, against the tokens read.
set title "Drift of float32 streaming from double" font ",15"
set xlabel "tokens read"; set ylabel "largest error / largest weight"
set logscale x 2; set logscale y 10; eval binary_tics
set format y "10^{%L}"; set yrange [1e-8:10]; set ytics 100
cases = "'linear, forgetting' 'linear, sparse writes' 'two layers, sparse writes' 'two layers + norm, forgetting'"
colors = lmm_color." ".attention_color." ".fourth_color." ".third_color
dashes = "1 2 4 5"
set key at screen 0.5, screen 0.08 center horizontal maxrows 2; set bmargin 8
plot for [i=1:4] rows("drift.tsv", 1, word(cases, i)) using 2:4 with lines lw 2 dt int(word(dashes, i)) lc rgb word(colors, i) title word(cases, i)
