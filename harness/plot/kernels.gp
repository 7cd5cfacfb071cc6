# needs: kernels.tsv
# Kernels in per cent of the FMA peak measured in the same run; kernels that move memory in per cent of their roofline.
set title "Kernels against the roofline (one thread; training steps: all threads)" font ",16"
set style fill solid 0.9 noborder; set boxwidth 0.7
set yrange [0:118]; set ytics 0, 20, 100; set ylabel "per cent"; set format y "%.0f %%"; unset grid
set xtics noenhanced; set xtics rotate by -40 font ",10" nomirror; set bmargin 9; set rmargin 8
set key top center horizontal
compute = sprintf("< awk -F'\\t' '/^#/ || $5==\"-\" || $7 ~ /naive|thread|attend|roofline/ {next} $1 ~ /^gemm/ {n[$1]++; s[$1]+=$6; next} $1 ~ /^memory|^attend|^train/ && $6+0 > 0 && !(($1 $4) in seen) {seen[$1 $4]=1; split($4, w, \" \"); row[++m]=$1 \" \" ($1 ~ /^train/ ? w[1] : $4) \"\\t\" $6 \"\\t1\"} END {for (g in n) printf \"%%s (mean)\\t%%f\\t1\\n\", g, s[g]/n[g]; for (i=1; i<=m; i++) print row[i]}' %s/kernels.tsv", results)
roof = sprintf("< awk -F'\\t' '$7==\"roofline\" {print $1 \"\\t\" 100*$8}' %s/kernels.tsv", results)
stats compute using 2 nooutput
n = STATS_records
plot compute using 0:2:xtic(1) with boxes lc rgb lmm_color title "of the FMA peak", \
     roof using ($0 + n):2:xtic(1) with boxes lc rgb attention_color title "of the memory roofline"
