# needs: scaling.tsv
# Every mixer beside attention in the same model, speed of reading and peak memory; above the line it beats attention.
against(mixer) = sprintf("< awk -F'\\t' -v mixer=%s -f harness/plot/style/against.awk %s/scaling.tsv", mixer, results)
set multiplot layout 1,2 title "Where each mixer overtakes attention" font ",16"
set logscale x 2; set logscale y 2; eval binary_tics
set xlabel "sequence length (tokens)"
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lw 2 dt 2 lc rgb attention_color
set offsets graph 0.02, graph 0.02, 0, 0
set yrange [0.25:128]; set ylabel "times as fast as attention"; set key top left
plot for [i=1:words(mixers)-1] against(word(mixers, i)) using 1:2 with linespoints lw 2 pt 4+i ps 0.7 lc rgb color(word(mixers, i)) title word(names, i)
set yrange [0.25:32]; set ylabel "times less memory than attention"; unset key
plot for [i=1:words(mixers)-1] against(word(mixers, i)) using 1:3 with linespoints lw 2 pt 4+i ps 0.7 lc rgb color(word(mixers, i)) notitle
unset multiplot
