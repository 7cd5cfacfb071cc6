# Shared by every figure: output, colours, fonts, helpers. Variables: results, data, kind, output.
if (kind eq "svg") set terminal svg size 760,460 font "Helvetica,13" background rgb "white"; else set terminal pngcairo size 1140,690 font "Helvetica,16"
set output output
set datafile separator "\t"
set border 3 lw 1 lc rgb "#444444"
set tics nomirror textcolor rgb "#222222"
set grid lc rgb "#dddddd" lw 1
set autoscale xfix
set key opaque samplen 2 spacing 1.15
lmm_color = "#1b6ca8"; attention_color = "#d1603d"; third_color = "#4a8c3f"; fourth_color = "#8e5ea2"
mac_color = third_color; mag_color = fourth_color; mal_color = "#b8860b"; swa_color = "#7a7a7a"
mixers = "lmm mac mag mal swa attention"
names = "LMM MAC MAG MAL window transformer"
color(m) = m eq "lmm" ? lmm_color : m eq "mac" ? mac_color : m eq "mag" ? mag_color : m eq "mal" ? mal_color : m eq "swa" ? swa_color : attention_color
# Rows of a table whose column `a` holds the text `x` and (optionally) column `b` the text `y`.
rows(file, a, x) = sprintf("< awk -F'\\t' '$%d==\"%s\"' %s/%s", a, x, results, file)
rows2(file, a, x, b, y) = sprintf("< awk -F'\\t' '$%d==\"%s\" && $%d==\"%s\"' %s/%s", a, x, b, y, results, file)
# Needles of one mixer and task, all depths: length, share right over all training seeds, least and greatest of a seed.
pooled(file, mixer, task) = sprintf("< awk -F'\\t' -v mixer=%s -v task=%s -f harness/plot/style/pool.awk %s/%s", mixer, task, results, file)
binary_tics = "set xtics ('256' 256, '1K' 1024, '4K' 4096, '16K' 16384, '64K' 65536, '256K' 262144, '1M' 1048576, '2M' 2097152, '10M' 10485760)"
