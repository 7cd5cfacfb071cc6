# needs: writes.tsv needle-niah.tsv niah-more.tsv
# S-NIAH-2: what a trained memory writes in 16K bytes beside what it still knows at their end; a point is a checkpoint
# (two of the LMM have seed 0: its recipe, and the one with 900 steps more).
set title "S-NIAH-2: memories that write little keep the needle" font ",15"
set xlabel "bytes written of 16,384, both layers together"; set ylabel "samples right at 16K"
set logscale x 10; set xrange [5:6000]; set format y "%.0f %%"; set yrange [-3:104]; set xtics (10, 100, 1000)
pairs(mixer) = sprintf("< awk -F'\\t' -v mixer=%s -v task=niah2 -f harness/plot/style/writes.awk %s/writes.tsv %s/needle-niah.tsv %s/niah-more.tsv", mixer, results, results, results)
set arrow 1 from 7, graph 0 to 7, graph 1 nohead dt 2 lc rgb "#888888"
set label 1 "the needle\nhas 7 bytes" at 7.6, 30 font ",11" textcolor rgb "#666666"
plot for [i=1:4] m=word(mixers, i) pairs(m) using 1:(100*$2) with points pt sign(m)-1 ps 1.4 lw 2 lc rgb color(m) title word(names, i)
