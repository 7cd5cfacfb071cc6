# needs: ablation.tsv
# The paper's Table 5 on our task: one thing left out of the LMM at a time; 95 % intervals over samples, one training seed.
set title "Passkey with one thing changed (after the paper's Table 5; LMM, one seed, 40 samples)" font ",14"
set ylabel "samples right"; set format y "%.0f %%"; set yrange [0:109]
set style fill solid 0.9 noborder; set boxwidth 0.24; set xtics () rotate by -20 scale 0; set grid noxtics
set key top center horizontal outside
variants = system(sprintf("awk -F'\\t' '!/^#/ && $1 != \"variant\" && !seen[$1]++ { print $1 }' %s/ablation.tsv", results))
lengths = "256 4096 16384"; labels = "256 4K 16K"; colors = "#9ecae1 #4292c6 #08306b"
set xrange [0.4:words(variants) + 0.6]
set for [i=1:words(variants)] xtics add (system(sprintf("echo '%s' | tr _ ' '", word(variants, i))) i)
cell(v, l) = sprintf("< awk -F'\\t' '$1==\"%s\" && $2==%s {print %d, $5, $6, $7}' OFS='\\t' %s/ablation.tsv", word(variants, v), word(lengths, l), v, results)
plot for [l=1:3] for [v=1:words(variants)] cell(v, l) using ($1 + 0.26 * (l - 2)):(100*$2) with boxes lc rgb word(colors, l) title (v == 1 ? sprintf("%s tokens", word(labels, l)) : ""), \
     for [l=1:3] for [v=1:words(variants)] cell(v, l) using ($1 + 0.26 * (l - 2)):(100*$2):(100*$3):(100*$4) with yerrorbars pt 0 lw 1.5 lc rgb "#333333" notitle
