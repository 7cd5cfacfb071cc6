# needs: kernels.tsv
# Kernels in per cent of the FMA peak measured in the same run; those that move memory in per cent of their roofline. A tick
# is the goal where one is set.
bars = output.".bars"
system(sprintf("awk -F'\\t' -f harness/plot/style/kernels.awk %s/kernels.tsv > %s", results, bars))
n = int(system(sprintf("wc -l < %s", bars)))
eval canvas(760, 110 + 17*n)
set title "Kernels: per cent of the roofline" font ",15"
set yrange [n-0.4:-0.6] ; set xrange [0:100]; set xlabel "per cent"; unset grid; set grid x lc rgb "#dddddd"
set ytics scale 0 font ",11" noenhanced; set xtics 0,20,100; set key at screen 0.5, screen 0.03 center horizontal maxrows 1 width 2; set bmargin 6
set style fill solid 0.85 noborder
plot bars using (0):0:(0):($4==0?$2:0):($0-0.36):($0+0.36):ytic(1) with boxxyerror lc rgb lmm_color title "of the FMA peak", \
     bars using (0):0:(0):($4==1?$2:0):($0-0.36):($0+0.36) with boxxyerror lc rgb fifth_color title "of the memory roofline", \
     bars using ($3 > 0 ? $3 : NaN):($0-0.5):(0):(1) with vectors nohead lw 2.5 lc rgb attention_color title "goal", \
     bars using (1):0:(sprintf("%.0f", $2)) with labels left font ",10" textcolor rgb "#ffffff" notitle
