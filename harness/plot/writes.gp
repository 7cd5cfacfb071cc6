# needs: writes.tsv needle-niah.tsv niah-more.tsv
# S-NIAH-2: what a trained memory writes in 16K bytes beside what it still knows at their end; a point is a checkpoint
# (two of the LMM have seed 0: its recipe, and the one with 900 steps more).
set title "S-NIAH-2: memories that write little keep the needle" font ",16"
set xlabel "writes in 16,384 bytes, all layers added (the needle has 7 bytes)"; set ylabel "samples right at 16K"
set logscale x 10; set xrange [5:6000]; set format y "%.0f %%"; set yrange [-3:104]; set key outside right center
pairs(mixer) = sprintf("< awk -F'\\t' -v mixer=%s -v task=niah2 -f harness/plot/style/writes.awk %s/writes.tsv %s/needle-niah.tsv %s/niah-more.tsv", mixer, results, results, results)
set arrow 1 from 7, graph 0 to 7, graph 1 nohead dt 2 lc rgb "#888888"
plot for [i=1:4] pairs(word(mixers, i)) using 1:(100*$2) with points pt 4+i ps 1.6 lw 2 lc rgb color(word(mixers, i)) title word(names, i)
