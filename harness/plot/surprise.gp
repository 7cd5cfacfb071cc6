# needs: surprise.tsv
# Norm of the memory's gradient and its step size along a sequence; the needle is shaded.
set multiplot layout 2,1 title "What surprises the memory, and what it writes" font ",16"
set lmargin 10; set rmargin 4
stats sprintf("< awk -F'\\t' '$1==\"0\" && $7==\"1\"' %s/surprise.tsv", results) using 2 nooutput
set style rect fc rgb "#f3d9a4" fs solid 0.8 noborder
set object 1 rect from STATS_min - 0.5, graph 0 to STATS_max + 0.5, graph 1 behind
set label 1 "needle" at STATS_max + 4, graph 0.92 textcolor rgb "#8a6d1f" font ",12"
set ylabel "surprise |u_t|"; set format x ""; set key top right; set yrange [0:*]
plot rows("surprise.tsv", 1, "0") using 2:4 with lines lw 1 lc rgb lmm_color title "layer 1", \
     rows("surprise.tsv", 1, "1") using 2:4 with lines lw 1 lc rgb attention_color title "layer 2"
unset label 1; set ylabel "step theta"; set xlabel "token"; set format x "%.0f"; unset key
plot rows("surprise.tsv", 1, "0") using 2:6 with impulses lw 1.5 lc rgb lmm_color notitle, \
     rows("surprise.tsv", 1, "1") using 2:6 with impulses lw 1.5 lc rgb attention_color notitle
unset multiplot
