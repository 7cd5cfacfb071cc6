# needs: ablation.tsv
# The paper's Table 5 on our task: one thing changed of the LMM's recipe; whiskers: 95 % over samples, one training seed.
set title "Passkey with one thing changed (LMM)" font ",15"
set ylabel "samples right"; set format y "%.0f %%"; set yrange [0:109]
set style fill solid 0.9 noborder; set boxwidth 0.24; set xtics () scale 0 font ",11"; set grid noxtics; set bmargin 4
# a row's variant is the name of its checkpoint; rows of all depths
named = "awk -F'\\t' '$4 == \"all\" { n = split($12, part, \"/\"); name = part[n]; sub(/-s[0-9]+[.].*/, \"\", name); print name, $3, $7, $8, $9 }' OFS='\\t'"
variants = system(sprintf("%s %s/ablation.tsv | cut -f1 | uniq", named, results))
lengths = "256 4096 16384"; labels = "256 4K 16K"; colors = "#9ecae1 #4292c6 #08519c"
set xrange [0.4:words(variants) + 0.6]
broken(name) = strstrt(name, "_") ? name[1:strstrt(name, "_")-1]."\n".name[strstrt(name, "_")+1:*] : name
set for [i=1:words(variants)] xtics add (broken(word(variants, i)) i)
cell(v, l) = sprintf("< %s %s/ablation.tsv | awk -F'\\t' '$1==\"%s\" && $2==%s {print %d, $3, $4, $5}' OFS='\\t'", named, results, word(variants, v), word(lengths, l), v)
plot for [l=1:3] for [v=1:words(variants)] cell(v, l) using ($1 + 0.26 * (l - 2)):(100*$2) with boxes lc rgb word(colors, l) title (v == 1 ? sprintf("%s tokens", word(labels, l)) : ""), \
     for [l=1:3] for [v=1:words(variants)] cell(v, l) using ($1 + 0.26 * (l - 2)):(100*$3):(0):(100*($4-$3)) with vectors nohead lw 1.5 lc rgb "#666666" notitle
