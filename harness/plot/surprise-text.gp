# needs: surprise-text.tsv
# Surprise of the memory along a text, the largest of every stretch.
set title "Surprise along a text" font ",16"
set xlabel "byte of the text"; set ylabel "|u_t|, mean over layers and heads"
set yrange [0:*]; unset key
plot sprintf("%s/surprise-text.tsv", results) using 1:3 every ::1 with impulses lw 1 lc rgb lmm_color
