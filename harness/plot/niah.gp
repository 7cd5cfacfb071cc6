# needs: needle-niah.tsv niah-more.tsv
# S-NIAH on bytes: exact match against sequence length, all training seeds of a mixer together, whiskers from the least to the
# greatest; dashed: recipes *-more, which saw more bytes (S-NIAH-3: those of S-NIAH-2 first).
set multiplot title "S-NIAH on bytes: one needle in prose" font ",15"
set logscale x 2; set xtics ("512" 512, "2K" 2048, "8K" 8192, "32K" 32768, "128K" 131072) font ",11"
set format y "%.0f %%"; set ytics 0,20,100; set yrange [-3:104]; set xrange [400:180000]
set xlabel "sequence length (bytes)"; set bmargin 4; set tmargin 3.5; unset key
tasks = "niah2 niah3"
titles = "'(a) S-NIAH-2: a number' '(b) S-NIAH-3: a UUID'"
more(m, t) = pooled("niah-more.tsv", m, t)
do for [k=1:2] {
    t = word(tasks, k)
    set title word(titles, k) font ",13"
    set origin 0.41*(k-1), 0; set size 0.44, 0.96
    if (k == 1) { set ylabel "samples right" } else { unset ylabel }
    plot for [i=1:words(mixers)] m=word(mixers, i) pooled("needle-niah*.tsv", m, t) using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 1.8 pt sign(m) ps 0.7 lc rgb color(m) notitle, \
         for [i=1:words(mixers)] m=word(mixers, i) more(m, t) using 1:(100*$2) with linespoints dt 2 lw 1.8 pt sign(m)-1 ps 0.9 lc rgb color(m) notitle
}
# the key: a panel without axes
set origin 0.82, 0; set size 0.18, 0.96; unset title; unset xlabel; unset border; unset tics; unset grid; unset logscale
set xrange [0:1]; set yrange [0:1]; set key at graph -0.2, graph 0.85 left top Left reverse samplen 2.5 spacing 1.4
shown = "lmm mac mag mal attention"; labels = "LMM MAC MAG MAL attention"
plot for [i=1:5] m=word(shown, i) NaN with linespoints lw 1.8 pt sign(m) ps 0.8 lc rgb color(m) title word(labels, i), \
     NaN with linespoints dt 2 lw 1.8 pt 6 ps 0.9 lc rgb "#666666" title "more bytes"
unset multiplot
