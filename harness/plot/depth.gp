# needs: needle.tsv
# Share of samples right by needle depth and sequence length, one panel a mixer.
set multiplot layout 1,2 title "Passkey by depth of the needle" font ",16"
set palette defined (0 "#b2182b", 0.5 "#fddbc7", 0.75 "#d1e5f0", 1 "#2166ac")
set cbrange [0:100]; unset grid; set yrange [-0.125:1.125]; set xrange [7.5:*]
set xtics rotate by -45 ("256" 8, "1K" 10, "4K" 12, "16K" 14, "64K" 16, "256K" 18, "2M" 21)
set ylabel "depth (0 first, 1 last)"; set xlabel "sequence length (tokens)"; set ytics 0, 0.25, 1
numeric(mixer) = sprintf("< awk -F'\\t' '$1==\"%s\" && $4!=\"all\" && $11==0' %s/needle.tsv", mixer, results)
unset colorbox; set title "neural memory (LMM)" font ",14"
plot numeric("lmm") using (log($3)/log(2)):4:(0.5):(0.125):(100*$7) with boxxyerror fs solid noborder lc palette notitle
set colorbox; set cblabel "samples right, %"; set title "transformer" font ",14"
plot numeric("attention") using (log($3)/log(2)):4:(0.5):(0.125):(100*$7) with boxxyerror fs solid noborder lc palette notitle
unset multiplot
