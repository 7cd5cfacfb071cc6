# Shared by every figure: output, colours, fonts, helpers. Variables: results, kind, output.
if (kind eq "svg") set terminal svg size 760,460 font "Helvetica,13" background rgb "white"; else set terminal pngcairo size 1140,690 font "Helvetica,16"
set output output
set datafile separator "\t"
set border 3 lw 1 lc rgb "#444444"
set tics nomirror textcolor rgb "#222222"
set grid lc rgb "#dddddd" lw 1
set autoscale xfix
set key opaque samplen 2 spacing 1.15
lmm_color = "#1b6ca8"; attention_color = "#d1603d"; third_color = "#4a8c3f"; fourth_color = "#8e5ea2"
# Rows of a table whose column `a` holds the text `x` and (optionally) column `b` the text `y`.
rows(file, a, x) = sprintf("< awk -F'\\t' '$%d==\"%s\"' %s/%s", a, x, results, file)
rows2(file, a, x, b, y) = sprintf("< awk -F'\\t' '$%d==\"%s\" && $%d==\"%s\"' %s/%s", a, x, b, y, results, file)
binary_tics = "set xtics ('256' 256, '1K' 1024, '4K' 4096, '16K' 16384, '64K' 65536, '256K' 262144, '1M' 1048576, '2M' 2097152)"
