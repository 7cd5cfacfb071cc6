# needs: gates.tsv needle-gates.tsv needle.tsv
# Passkey by LMMs with the paper's sigmoid gates that find 36 of 40 at 256 tokens: (a) right by length, seeds together, whiskers
# from the least to the greatest, the recipe with hard gates beside them; (b) how far a model's gates should reach and does.
eval canvas(760, 800)
set multiplot title "Passkey with the paper's sigmoid gates" font ",15"
tries = "plain closed quiet shut still"
labels = "'alpha -2, theta -1' 'alpha -8, theta -4' 'alpha -8, theta -8' 'alpha -20, theta -8' 'alpha -20, theta -10'"
colors = "#d55e00 #e69f00 #aa4499 #009e73 #332288"
signs = "15 13 9 7 11"
table = sprintf("%s/needle-gates.tsv", results)
learned = "FNR == NR { if ($4 == \"all\" && $3 == 256 && $6 >= 36) learned[$12]; next } $12 in learned"
one(name) = sprintf("< awk -F'\t' '%s && /sigmoid-%s-passkey/' %s %s | awk -F'\t' -v mixer=lmm -v task=passkey -f harness/plot/style/pool.awk", learned, name, table, table)
reach = sprintf("< awk -F'\\t' -f harness/plot/style/gates.awk %s/gates.tsv %s/needle-gates.tsv", results, results)
of(name) = sprintf("%s | awk -F'\\t' '$3 == \"%s\"'", reach, name)
others = sprintf("%s | awk -F'\\t' '\" %s \" !~ \" \" $3 \" \"'", reach, tries)
set size 1, 0.48; set tmargin 2.5; set bmargin 3.2; set lmargin 10; set rmargin 30; set key at screen 0.71, graph 1 left top
set logscale x 2; eval binary_tics
set format y "%.0f %%"; set ytics 0,20,100; set yrange [-3:104]; set ylabel "samples right"
set origin 0, 0.48; set title "(a) initial biases of the gates; dashed line: longest sequence in training" font ",13"; set xrange [220:180000]
set arrow 1 from 256, graph 0 to 256, graph 1 nohead dt 2 lc rgb "#888888"
plot pooled("needle.tsv", "lmm", "passkey") using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 2.4 pt 5 ps 0.7 lc rgb lmm_color title "hard gates, penalty", \
     for [i=1:5] one(word(tries, i)) using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 1.8 pt (0+word(signs, i)) ps 0.8 lc rgb word(colors, i) title word(labels, i)
unset arrow 1; set logscale y 2; unset format; set yrange [100:200000]; set xrange [50:600000]
eval binary_tics
set ytics ("256" 256, "1K" 1024, "4K" 4096, "16K" 16384, "64K" 65536)
set xlabel "1 / (alpha + 2 theta / head width), tokens"; set ylabel "half found, tokens" offset -1
set origin 0, 0; set title "(b) how far the gates should reach, and do" font ",13"
plot x with lines dt 2 lw 1.2 lc rgb "#888888" title "both the same", \
     for [i=1:5] of(word(tries, i)) using 1:2 with points pt (0+word(signs, i)) ps 1.2 lc rgb word(colors, i) title word(labels, i), \
     others using 1:2 with points pt 1 ps 1.2 lw 2 lc rgb "#777777" title "all other tries"
unset multiplot
