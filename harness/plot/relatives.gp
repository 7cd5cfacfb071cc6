# needs: needle-relatives.tsv needle.tsv
# Passkeys right out of 40 for every relative and Titans' mixers (training seed 0, all depths), best at 16K first; numbers in cells.
set palette defined (0 "#e7937c", 0.5 "#fddbc7", 0.75 "#d1e5f0", 1 "#86b6d9")
set cbrange [0:40]; unset colorbox; unset grid; unset key; unset border; set tics scale 0
sorted = output.".rows"
system(sprintf("awk -F'\t' -f harness/plot/style/lengths.awk %s/needle-relatives.tsv %s/needle.tsv | LC_ALL=C sort -k2,2n -k3,3n -k4,4n -k5,5n -k1,1r > %s", results, results, sorted))
n = int(system(sprintf("wc -l < %s", sorted)))
eval canvas(640, 120 + 22*n)
set title "Passkey: right out of 40 by sequence length (trained to 256)" font ",14"
set xrange [-0.5:3.5]; set yrange [-0.5:n-0.5]; set xtics ("256" 0, "1K" 1, "4K" 2, "16K" 3) font ",12"; set xlabel "tokens" font ",12"
set ytics font ",12" noenhanced
plot for [k=0:3] sorted using (k):0:(0.48):(0.46):(column(5-k)):ytic(1) with boxxyerror fs solid noborder lc palette, \
     for [k=0:3] sorted using (k):0:(sprintf("%d", column(5-k))) with labels font ",11" textcolor rgb "#111111"
