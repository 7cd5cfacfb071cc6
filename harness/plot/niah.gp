# needs: needle-niah.tsv niah-more.tsv
# S-NIAH on bytes: exact match against sequence length, one panel per task, all training seeds of a mixer together; dashed: the
# recipes *-more, which saw more bytes (S-NIAH-3: those of S-NIAH-2 first).
set multiplot layout 1,3 title "S-NIAH on bytes: single needles in noise lines and in prose" font ",16"
set logscale x 2; set xtics ("512" 512, "2K" 2048, "16K" 16384, "128K" 131072) font ",11"
set format y "%.0f %%"; set ytics 0,20,100; set yrange [-55:104]; set xrange [400:180000]; set offsets graph 0.05, graph 0.05, 0, 0
set xlabel "bytes"; set key noopaque at graph 1.0, first -5 top right font ",11" samplen 1.5
tasks = "niah1 niah2 niah3"
titles = "S-NIAH-1:_number_in_noise S-NIAH-2:_number_in_prose S-NIAH-3:_UUID_in_prose"
do for [k=1:3] {
    set title system(sprintf("echo '%s' | tr _ ' '", word(titles, k))) font ",13"
    if (k == 1) { set ylabel "samples right" } else { unset ylabel }
    plot for [i=1:words(mixers)] pooled("needle-niah*.tsv", word(mixers, i), word(tasks, k)) using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 2 pt 4+i ps 0.8 lc rgb color(word(mixers, i)) title word(names, i), \
         for [i=1:words(mixers)] pooled("niah-more.tsv", word(mixers, i), word(tasks, k)) using 1:(100*$2) with linespoints dt 2 lw 2 pt 4+i ps 0.8 lc rgb color(word(mixers, i)) title word(names, i)." (more)"
}
unset multiplot
