# needs: training-lmm-passkey-s0.tsv training-attention-passkey-s0.tsv
# Loss and exact match on the training samples, means of ten steps.
set multiplot layout 2,1 title "Training on passkey" font ",16"
set lmargin 10; set rmargin 4
set ylabel "loss"; set logscale y 10; set format y "10^{%L}"; set yrange [1e-5:10]; set format x ""; set key top right
plot rows("training-lmm-passkey-s0.tsv", 1, "lmm") using 3:($5 > 1e-5 ? $5 : 1e-5) with lines lw 2 lc rgb lmm_color title "neural memory (LMM)", \
     rows("training-attention-passkey-s0.tsv", 1, "attention") using 3:($5 > 1e-5 ? $5 : 1e-5) with lines lw 2 lc rgb attention_color title "transformer"
unset logscale y; set format y "%.0f %%"; set yrange [-3:104]; set format x "%.0f"; set ylabel "samples right"; set xlabel "step"; unset key
plot rows("training-lmm-passkey-s0.tsv", 1, "lmm") using 3:(100*$6) with lines lw 2 lc rgb lmm_color notitle, \
     rows("training-attention-passkey-s0.tsv", 1, "attention") using 3:(100*$6) with lines lw 2 lc rgb attention_color notitle
unset multiplot
