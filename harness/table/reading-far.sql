-- Passkey models of seed 0, read to ten million tokens: tokens/s and peak memory of the process.
select '`' || mixer || '`' as mixer,
       rounded(max(tokens_per_s) filter (where length = 131072), 3) as "tokens/s at 128K",
       rounded(max(tokens_per_s) filter (where length = 10485760), 3) as "at 10M",
       rounded(max(peak_rss_kib) filter (where length = 131072) / 1024.0, 3) as "peak MiB at 128K",
       rounded(max(peak_rss_kib) filter (where length = 10485760) / 1024.0, 3) as "at 10M "
from scaling_long
group by mixer;
