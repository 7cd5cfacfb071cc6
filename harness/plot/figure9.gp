# needs: throughput-train.tsv
# The paper's Figure 9: training throughput of every mixer at a constant number of tokens per step.
set title "Training throughput by mixer (after the paper's Figure 9)" font ",15"
set xlabel "sequence length (tokens)"; set ylabel "thousand tokens per second"
set logscale x 2; set xtics ("1K" 1024, "2K" 2048, "4K" 4096, "8K" 8192, "16K" 16384, "32K" 32768)
set yrange [0:*]; set offsets graph 0.03, graph 0.03, graph 0.05, 0
plot for [i=1:words(mixers)] m=word(mixers, i) rows("throughput-train.tsv", 1, m) using 3:($7/1000) with linespoints lw 1.8 pt sign(m) ps 0.8 lc rgb color(m) title word(names, i)
