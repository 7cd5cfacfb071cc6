# needs: scaling.tsv
# Every mixer beside attention in the same model, speed of reading and peak memory; above the line it beats attention.
against(mixer) = sprintf("< awk -F'\\t' -v mixer=%s -f harness/plot/style/against.awk %s/scaling.tsv", mixer, results)
set multiplot title "Where each mixer overtakes attention" font ",15"
set logscale x 2; set logscale y 2; eval binary_tics; set xtics add ("128K" 131072, "" 65536)
set xlabel "sequence length (tokens)"; unset key; set tmargin 3.5; set bmargin 4
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lw 2 dt 2 lc rgb attention_color
set offsets graph 0.02, graph 0.02, 0, 0
set origin 0, 0; set size 0.41, 0.96; set yrange [0.25:128]; set ylabel "times as fast as attention"; set title "(a) speed of reading" font ",13"
plot for [i=1:words(mixers)-1] m=word(mixers, i) against(m) using 1:2 with linespoints lw 1.8 pt sign(m) ps 0.7 lc rgb color(m) notitle
set origin 0.41, 0; set size 0.59, 0.96; set key outside right center
set yrange [0.25:32]; set ylabel "times less memory"; set title "(b) peak memory of the process" font ",13"
plot for [i=1:words(mixers)-1] m=word(mixers, i) against(m) using 1:3 with linespoints lw 1.8 pt sign(m) ps 0.7 lc rgb color(m) title word(names, i), \
     NaN with lines lw 2 dt 2 lc rgb attention_color title "attention"
unset multiplot
