# needs: training-ema-echo.tsv
# A toy that the drop-in test adds: loss by step.
set title "the drop-in mixer on the drop-in task" font ",16"
set xlabel "step"; set ylabel "loss"
plot rows("training-ema-echo.tsv", 1, "ema") using 3:5 with lines lw 2 lc rgb lmm_color title "EMA"
