# needs: throughput-train.tsv
# The paper's Figure 9: training throughput of every mixer at a constant number of tokens per step.
set title "Training throughput, 32K tokens per step (after the paper's Figure 9)" font ",16"
set xlabel "sequence length x batch"; set ylabel "thousand tokens per second"
set logscale x 2; set xtics ("2K x 16" 2048, "4K x 8" 4096, "8K x 4" 8192, "16K x 2" 16384, "32K x 1" 32768)
set yrange [0:*]; set offsets graph 0.03, graph 0.03, graph 0.05, 0; set key outside right center
plot for [i=1:words(mixers)] rows("throughput-train.tsv", 1, word(mixers, i)) using 3:($7/1000) with linespoints lw 2 pt 4+i lc rgb color(word(mixers, i)) title word(names, i)
