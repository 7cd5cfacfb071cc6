# needs: ablation.tsv
# The paper's Table 5 on our task: one thing changed of the LMM's recipe; whiskers: 95 % over samples, one training seed.
set title "Passkey with one thing changed (LMM)" font ",15"
set ylabel "samples right"; set format y "%.0f %%"; set yrange [0:109]
set style fill solid 0.9 noborder; set boxwidth 0.24; set xtics () scale 0 font ",11"; set grid noxtics; set bmargin 4
variants = system(sprintf("awk -F'\\t' '!/^#/ && $1 != \"variant\" && !seen[$1]++ { print $1 }' %s/ablation.tsv", results))
lengths = "256 4096 16384"; labels = "256 4K 16K"; colors = "#9ecae1 #4292c6 #08519c"
set xrange [0.4:words(variants) + 0.6]
broken(name) = strstrt(name, "_") ? name[1:strstrt(name, "_")-1]."\n".name[strstrt(name, "_")+1:*] : name
set for [i=1:words(variants)] xtics add (broken(word(variants, i)) i)
cell(v, l) = sprintf("< awk -F'\\t' '$1==\"%s\" && $2==%s {print %d, $5, $6, $7}' OFS='\\t' %s/ablation.tsv", word(variants, v), word(lengths, l), v, results)
plot for [l=1:3] for [v=1:words(variants)] cell(v, l) using ($1 + 0.26 * (l - 2)):(100*$2) with boxes lc rgb word(colors, l) title (v == 1 ? sprintf("%s tokens", word(labels, l)) : ""), \
     for [l=1:3] for [v=1:words(variants)] cell(v, l) using ($1 + 0.26 * (l - 2)):(100*$3):(0):(100*($4-$3)) with vectors nohead lw 1.5 lc rgb "#666666" notitle
