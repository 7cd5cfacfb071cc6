# needs: needle-positions.tsv needle.tsv
# Passkey against sequence length, all depths and training seeds of a model together, whiskers from the least to the greatest
# seed: (a) transformers by their positions and by how they are asked, (b) the memories beside them.
eval canvas(760, 760)
set multiplot title "Passkey: transformers by their positions, and the memories" font ",15"
set logscale x 2; set format y "%.0f %%"; set ytics 0,20,100; set yrange [-3:104]; set ylabel "samples right"
nope_color = "#56b4e9"
hue(m) = m eq "nope" ? nope_color : m eq "alibi" ? alibi_color : m eq "long" ? "#cc79a7" : attention_color
asked(m, k) = chosen("needle-positions.tsv", "attention", "passkey", "attention-".m."-passkey", k)
models = "rope rope rope rope nope nope alibi alibi equal long"
asks = "- rope_scaling=ntk rope_scaling=yarn log_scale=1 - log_scale=1 - log_scale=1 - -"
labels = "'RoPE' 'asked with NTK' 'asked with YaRN' 'with log-length scale' 'NoPE' 'with log-length scale' 'ALiBi' 'with log-length scale' 'RoPE, fewer tokens' 'RoPE, trained to 1K'"
dashes = "1 2 4 3 1 3 1 3 5 1"; signs = "15 14 8 12 7 6 9 8 4 3"
dash(i) = int(word(dashes, i))
set xtics ("256" 256, "512" 512, "1K" 1024, "2K" 2048, "4K" 4096, "8K" 8192, "16K" 16384) font ",11"
set arrow 1 from 256, graph 0 to 256, graph 1 nohead dt 2 lc rgb "#888888"
set size 1, 0.49; set tmargin 2.5; set bmargin 3.2; set rmargin 30; set key at screen 0.70, graph 1 left top
set origin 0, 0.47; set title "(a) transformers; dashed line: longest sequence in training" font ",13"; set xrange [220:20000]
plot for [i=1:10] m=word(models, i) asked(m, word(asks, i)) using 1:(100*$2) with linespoints lw 1.8 dt dash(i) pt (0+word(signs, i)) ps 0.8 lc rgb hue(m) title word(labels, i)
set origin 0, 0; set title "(b) memories, the window, and transformers as trained" font ",13"; set xrange [220:180000]
set xlabel "sequence length (tokens)"
eval binary_tics
few = "rope nope alibi"; few_labels = "RoPE NoPE ALiBi"; few_signs = "15 7 9"
plot for [i=1:5] m=word(mixers, i) pooled("needle.tsv", m, "passkey") using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 1.8 pt sign(m) ps 0.7 lc rgb color(m) title word(names, i), \
     for [i=1:3] m=word(few, i) asked(m, "-") using 1:(100*$2):(100*$3):(100*$4) with yerrorlines dt 2 lw 1.8 pt (0+word(few_signs, i)) ps 0.7 lc rgb hue(m) title word(few_labels, i)
unset multiplot
