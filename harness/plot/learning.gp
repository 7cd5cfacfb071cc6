# needs: training-mal-niah2-s0.tsv
# How soon each mixer learns S-NIAH-2: share right on its training samples, a line for every training seed.
set title "Learning S-NIAH-2: right on the training samples, a line for every seed" font ",15"
set xlabel "step (16 sequences of 512 bytes, from step 2400 on of 1024)"; set ylabel "samples right"
set format y "%.0f %%"; set yrange [-3:104]
set arrow 1 from 2400, graph 0 to 2400, graph 1 nohead dt 2 lc rgb "#888888"
curve(m, s) = sprintf("< cat %s/training-%s-niah2-s%d.tsv 2>/dev/null | awk -F'\\t' '$3 %% 30 == 0 && $3 > 0'", results, m, s)
plot for [s=0:2] for [i=1:words(mixers)] curve(word(mixers, i), s) using 3:(100*$6) with lines lw 1.5 lc rgb color(word(mixers, i)) title (s == 0 && word(mixers, i) ne "swa" ? word(names, i) : "")
