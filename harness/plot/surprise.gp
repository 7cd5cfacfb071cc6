# needs: surprise.tsv
# Norm of the memory's gradient and its step size along a sequence; the needle is shaded.
eval canvas(760, 460)
set multiplot layout 2,1 title "What surprises the memory, and what it writes" font ",15"
set lmargin 10; set rmargin 14
stats sprintf("< awk -F'\\t' '$1==\"0\" && $7==\"1\"' %s/surprise.tsv", results) using 2 nooutput
set object 1 rect from STATS_min - 0.5, graph 0 to STATS_max + 0.5, graph 1 behind fc rgb "#f0c060" fs solid 0.35 noborder
set label 1 "needle" at STATS_max + 4, graph 0.92 textcolor rgb "#666666" font ",12"
set label 2 "question" at 500, graph 0.92 right textcolor rgb "#666666" font ",12"
set title "(a) size of the surprise" font ",13"; set format x ""; set yrange [0:*]
plot rows("surprise.tsv", 1, "1") using 2:4 with lines lw 1 lc rgb attention_color title "layer 2", \
     rows("surprise.tsv", 1, "0") using 2:4 with lines lw 1.3 lc rgb lmm_color title "layer 1"
unset label; set title "(b) step size theta: what is written" font ",13"; set xlabel "token"; set format x "%.0f"; unset key
plot rows("surprise.tsv", 1, "0") using 2:6 with impulses lw 1.5 lc rgb lmm_color notitle, \
     rows("surprise.tsv", 1, "1") using 2:6 with impulses lw 1.5 lc rgb attention_color notitle
unset multiplot
