# needs: training-lmm-passkey-s0.tsv training-attention-passkey-s0.tsv
# Loss and exact match on the training samples, means of ten steps; dashed: sequences become longer.
eval canvas(760, 460)
set multiplot layout 2,1 title "Training on passkey (seed 0)" font ",15"
set lmargin 10; set rmargin 17; set xrange [0:2060]
set for [i=1:2] arrow i from word("1500 1900", i), graph 0 to word("1500 1900", i), graph 1 nohead dt 2 lc rgb "#888888"
set title "(a) loss" font ",13"; set logscale y 10; set format y "10^{%L}"; set yrange [1e-5:10]; set ytics 100; set format x ""
plot rows("training-lmm-passkey-s0.tsv", 1, "lmm") using 3:($5 > 1e-5 ? $5 : 1e-5) with lines lw 1.8 lc rgb lmm_color title "LMM", \
     rows("training-attention-passkey-s0.tsv", 1, "attention") using 3:($5 > 1e-5 ? $5 : 1e-5) with lines lw 1.8 lc rgb attention_color title "attention"
unset logscale y; set ytics 25; set format y "%.0f %%"; set yrange [-3:104]; set format x "%.0f"; set xlabel "step"; unset key
set title "(b) training samples right" font ",13"
set label 1 "64 words" at 750, 88 center font ",11" textcolor rgb "#666666"; set label 2 "128" at 1700, 10 center font ",11" textcolor rgb "#666666"
set label 3 "256" at 1975, 10 center font ",11" textcolor rgb "#666666"
plot rows("training-lmm-passkey-s0.tsv", 1, "lmm") using 3:(100*$6) with lines lw 1.8 lc rgb lmm_color notitle, \
     rows("training-attention-passkey-s0.tsv", 1, "attention") using 3:(100*$6) with lines lw 1.8 lc rgb attention_color notitle
unset multiplot
