# needs: scaling.tsv
# Tokens per second of reading one sequence, and the peak resident memory of the process, against its length.
set multiplot title "Reading one sequence" font ",15"
set logscale x 2; set logscale y 2; eval binary_tics; set xtics add ("128K" 131072, "" 65536)
set xlabel "sequence length (tokens)"; unset key; set tmargin 3.5; set bmargin 4
set offsets graph 0.02, graph 0.02, 0, 0
set origin 0, 0; set size 0.41, 0.96; set ylabel "thousand tokens per second"; set yrange [1:128]; set title "(a) speed" font ",13"
plot for [i=1:words(mixers)] m=word(mixers, i) rows("scaling.tsv", 1, m) using 2:($5/1000) with linespoints lw 1.8 pt sign(m) ps 0.7 lc rgb color(m) notitle
set origin 0.41, 0; set size 0.59, 0.96; set key outside right center
set ylabel "MiB"; set yrange [8:512]; set title "(b) peak memory of the process" font ",13"
plot for [i=1:words(mixers)] m=word(mixers, i) rows("scaling.tsv", 1, m) using 2:($6/1024) with linespoints lw 1.8 pt sign(m) ps 0.7 lc rgb color(m) title word(names, i)
unset multiplot
