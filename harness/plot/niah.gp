# needs: needle-niah.tsv
# S-NIAH-1 and S-NIAH-2 on bytes: exact match of the memory against sequence length, 95 % intervals.
set title "S-NIAH on bytes: a seven-digit number in noise lines and in prose (LMM)" font ",16"
set xlabel "sequence length (bytes)"; set ylabel "samples right"
set logscale x 2; eval binary_tics
set format y "%.0f %%"; set yrange [-3:104]; set offsets graph 0.02, graph 0.02, 0, 0
set key at graph 0.98, graph 0.55 right
plot rows2("needle-niah.tsv", 2, "niah1", 4, "all") using 3:(100*$7):(100*$8):(100*$9) with yerrorlines lw 2 pt 7 ps 0.8 lc rgb lmm_color title "S-NIAH-1, noise lines", \
     rows2("needle-niah.tsv", 2, "niah2", 4, "all") using 3:(100*$7):(100*$8):(100*$9) with yerrorlines lw 2 pt 5 ps 0.8 lc rgb third_color title "S-NIAH-2, prose"
