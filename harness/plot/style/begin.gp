# Shared by every figure: output, colours, fonts, helpers. Variables: results, kind, output.
# canvas(w, h): of this many points; pictures have half as many pixels again.
canvas(w, h) = kind eq "svg" ? sprintf("set terminal svg size %d,%d font 'Helvetica,13' background rgb 'white'", w, h) : sprintf("set terminal pngcairo size %d,%d font 'Helvetica,16'", 3*w/2, 3*h/2)
eval canvas(760, 420)
set output output
set datafile separator "\t"
set border 3 lw 1 lc rgb "#444444"
set tics nomirror textcolor rgb "#222222"
set grid lc rgb "#dddddd" lw 1
set autoscale xfix
set key outside right center noopaque Left reverse samplen 2 spacing 1.2
set pointintervalbox 0
# One colour and one sign for a mixer in every figure; the colours differ for colour-blind eyes too.
mixers = "lmm mac mag mal swa attention"
names = "LMM MAC MAG MAL SWA attention"
lmm_color = "#0072b2"; attention_color = "#d55e00"; third_color = "#009e73"; fourth_color = "#aa4499"; fifth_color = "#c08a00"; alibi_color = "#e69f00"
color(m) = m eq "lmm" ? lmm_color : m eq "mac" ? third_color : m eq "mag" ? fourth_color : m eq "mal" ? fifth_color : m eq "swa" ? "#777777" : attention_color
sign(m) = m eq "lmm" ? 5 : m eq "mac" ? 7 : m eq "mag" ? 9 : m eq "mal" ? 13 : m eq "swa" ? 11 : 15
# Rows of a table whose column `a` holds the text `x`.
rows(file, a, x) = sprintf("< awk -F'\\t' '$%d==\"%s\"' %s/%s", a, x, results, file)
# Needles of one mixer and task, all depths: length, share right over all training seeds, least and greatest of a seed.
pooled(file, mixer, task) = sprintf("< awk -F'\\t' -v mixer=%s -v task=%s -f harness/plot/style/pool.awk %s/%s", mixer, task, results, file)
# The same of the checkpoints that match alone, asked with `set` ("": with any).
chosen(file, mixer, task, checkpoint, set) = sprintf("< awk -F'\\t' -v mixer=%s -v task=%s -v checkpoint=%s -v set=%s -f harness/plot/style/pool.awk %s/%s", mixer, task, checkpoint, set, results, file)
binary_tics = "set xtics ('256' 256, '1K' 1024, '4K' 4096, '16K' 16384, '64K' 65536, '256K' 262144, '1M' 1048576, '10M' 10485760)"
