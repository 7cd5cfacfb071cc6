# needs: needle-niah.tsv
# data: paper/table2_sniah.csv
# The paper's Table 2 beside ours: language models of 170M weights asked in passing, and small models of this one task.
set multiplot layout 1,3 title "S-NIAH: this repository (filled, single-task models of 0.1 to 0.2 M weights, bytes) and the paper's Table 2 (open, language models, tokens)" font ",12"
set logscale x 2; set xtics ("2K" 2048, "4K" 4096, "8K" 8192, "16K" 16384) font ",11"
set format y "%.0f %%"; set yrange [-3:104]; set xrange [1700:20000]
set xlabel "length"; set key bottom left font ",10"
tasks = "niah1 niah2 niah3"; labels = "PK N W"; ours = "lmm mac mag mal"; papers = "LMM MAC MAG MAL"
paper(task, model) = sprintf("< awk -F, -v OFS='\\t' '$1==\"%s\" && $2 ~ /%s/ {print $3, $4}' %s/paper/table2_sniah.csv", task, model, data)
do for [k=1:3] {
    set title sprintf("S-NIAH-%d (%s)", k, word(labels, k)) font ",13"
    if (k == 1) { set ylabel "accuracy" } else { unset ylabel }
    plot for [i=1:4] pooled("needle-niah.tsv", word(ours, i), word(tasks, k)) using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 2 pt 7 ps 0.9 lc rgb color(word(ours, i)) title sprintf("%s, ours", word(papers, i)), \
         for [i=1:4] paper(word(labels, k), word(papers, i)) using 1:2 with linespoints lw 1.5 dt 2 pt 6 ps 0.9 lc rgb color(word(ours, i)) title sprintf("%s, paper", word(papers, i))
}
unset multiplot
