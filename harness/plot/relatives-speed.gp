# needs: throughput-relatives.tsv
# Training speed of every mixer over that of full attention, by length, fastest at the longest first; numbers in cells.
set palette defined (0 "#e7937c", 0.5 "#fddbc7", 0.501 "#d1e5f0", 1 "#86b6d9")
set cbrange [-2:2]; unset colorbox; unset grid; unset key; unset border; set tics scale 0
sorted = output.".rows"
system(sprintf("awk -F'\t' -f harness/plot/style/ratios.awk %s/throughput-relatives.tsv | LC_ALL=C sort -k2,2n -k1,1r > %s", results, sorted))
n = int(system(sprintf("wc -l < %s", sorted)))
lengths = system(sprintf("awk -F'\t' '$1 == \"attention\" { print ($3 < 1024 ? $3 : $3 / 1024 \"K\") }' %s/throughput-relatives.tsv", results))
m = words(lengths)
if (kind eq "svg") set terminal svg size 640,(120+22*n) font "Helvetica,13" background rgb "white"; else set terminal pngcairo size 960,(180+33*n) font "Helvetica,16"
set title "Training speed over that of full attention" font ",14"
set xrange [-0.5:m-0.5]; set yrange [-0.5:n-0.5]; set xlabel "tokens of a sequence" font ",12"
set xtics (); set for [k=1:m] xtics add (word(lengths, k) k-1) font ",12"; set ytics font ",12" noenhanced
plot for [k=1:m] sorted using (k-1):0:(0.48):(0.46):(log(column(2+k))/log(2)):ytic(1) with boxxyerror fs solid noborder lc palette, \
     for [k=1:m] sorted using (k-1):0:(sprintf(column(2+k) < 10 ? "%.2f" : "%.1f", column(2+k))) with labels font ",11" textcolor rgb "#111111"
