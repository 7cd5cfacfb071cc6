# needs: throughput-depth.tsv
# The paper's Figure 8: training throughput of the memory against sequence length, by its depth.
set title "Training throughput of the LMM by depth of its memory (after the paper's Figure 8)" font ",15"
set xlabel "sequence length (tokens)"; set ylabel "thousand tokens per second"
set logscale x 2; set xtics ("2K" 2048, "4K" 4096, "8K" 8192, "16K" 16384, "32K" 32768)
set yrange [0:*]; set offsets graph 0.03, graph 0.03, graph 0.05, 0
colors = "#6baed6 #4292c6 #08519c #08306b"
plot for [d=1:4] rows("throughput-depth.tsv", 2, sprintf("%d", d)) using 3:($7/1000) with linespoints lw 1.8 pt 2*d+3 ps 0.8 lc rgb word(colors, d) title sprintf("%d layer%s", d, d > 1 ? "s" : "")
