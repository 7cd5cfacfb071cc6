# needs: needle-multikey.tsv
# MK-NIAH-1, one of four needles asked for by its key: (a) share right on the training samples, a line for every seed (12 taps and
# transformers: from step 2700 on of 1,024 bytes), (b) share right against sequence length, all seeds of a model together, whiskers
# from the least to the greatest.
eval canvas(760, 380)
set multiplot title "MK-NIAH-1: the one of four needles that is asked for" font ",15"
set format y "%.0f %%"; set ytics 0,20,100; set yrange [-3:104]
models = "mag-multikey-sparse mag-multikey-wide lmm-multikey-wide attention-alibi-multikey attention-multikey mal-multikey-more lmm-multikey-more"
labels = "'MAG, and penalty' 'MAG, 64 taps' 'LMM, 64 taps' 'ALiBi' 'RoPE' 'MAL, 12 taps' 'LMM, 12 taps'"
mixer(i) = word("mag mag lmm attention attention mal lmm", i)
hue(i) = i == 4 ? alibi_color : color(mixer(i))
dash(i) = i > 5 ? 3 : i == 1 ? 2 : 1
curve(i, s) = sprintf("< cat %s/training-%s-s%d.tsv 2>/dev/null | awk -F'\\t' '$3 %% 60 == 0 && $3 > 0'", results, word(models, i), s)
asked(i) = chosen("needle-multikey.tsv", mixer(i), "niah_multikey", word(models, i)."-s", "")
set arrow 1 from graph 0, first 25 to graph 1, first 25 nohead dt 2 lc rgb "#888888"
set bmargin 4; set tmargin 3.5; unset key
set origin 0, 0; set size 0.42, 0.96; set title "(a) training" font ",13"
set xlabel "step (16 sequences of 768 bytes)"; set ylabel "samples right"; set xtics 0,1000,3000
plot for [s=0:2] for [i=2:7] curve(i, s) using 3:(100*$6) with lines lw 1.5 dt dash(i) lc rgb hue(i) notitle
set origin 0.40, 0; set size 0.38, 0.96; set title "(b) New Testament" font ",13"
set logscale x 2; set xlabel "sequence length (bytes)"; unset ylabel; set xrange [800:90000]
set xtics ("1K" 1024, "4K" 4096, "16K" 16384, "64K" 65536)
plot for [i=1:7] asked(i) using 1:(100*$2):(100*$3):(100*$4) with yerrorlines lw 1.8 dt dash(i) pt sign(mixer(i)) ps 0.7 lc rgb hue(i) notitle
# the key: a panel without axes
set origin 0.76, 0; set size 0.24, 0.96; unset title; unset xlabel; unset border; unset tics; unset grid; unset logscale; unset arrow 1
set xrange [0:1]; set yrange [0:1]; set key at graph -0.35, graph 0.85 left top Left reverse samplen 2.5 spacing 1.4
plot for [i=1:7] NaN with linespoints lw 1.8 dt dash(i) pt sign(mixer(i)) ps 0.8 lc rgb hue(i) title word(labels, i), \
     NaN with lines dt 2 lc rgb "#888888" title "one at random"
unset multiplot
