# needs: needle.tsv
# Share of samples right by needle depth and sequence length, a panel a mixer, all training seeds; per cent in the cells.
eval canvas(760, 520)
set multiplot layout 2,3 title "Passkey by depth of the needle: per cent right" font ",15"
set palette defined (0 "#e7937c", 0.5 "#fddbc7", 0.75 "#d1e5f0", 1 "#86b6d9")
set cbrange [0:100]; unset colorbox; unset grid; unset key; unset border; set tics scale 0
set xrange [-0.5:4.5]; set yrange [-0.5:4.5]; set ytics ("start" 0, "1/4" 1, "1/2" 2, "3/4" 3, "end" 4) font ",11"
set xtics ("256" 0, "1K" 1, "4K" 2, "16K" 3, "128K" 4) font ",11"
set lmargin 6; set rmargin 2
cells(m) = sprintf("< awk -F'\\t' -v mixer=%s -f harness/plot/style/depths.awk %s/needle.tsv", m, results)
do for [i=1:words(mixers)] {
    set title sprintf("(%s) %s", substr("abcdef", i, i), word(names, i)) font ",13"
    if (i < 4) { unset xlabel } else { set xlabel "tokens" font ",11" }
    plot cells(word(mixers, i)) using 1:2:(0.48):(0.46):3 with boxxyerror fs solid noborder lc palette, \
         cells(word(mixers, i)) using 1:2:(sprintf("%.0f", $3)) with labels font ",11" textcolor rgb "#111111"
}
unset multiplot
