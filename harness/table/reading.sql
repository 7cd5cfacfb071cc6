-- Reading one sequence of 128K tokens, beside attention.
select '`' || m.mixer || '`' as mixer,
       rounded(m.tokens_per_s, 3) as "tokens/s at 128K",
       rounded(1.0 * m.tokens_per_s / a.tokens_per_s, 2) as "times as fast as attention",
       rounded(m.peak_rss_kib / 1024.0, 2) as "peak MiB at 128K",
       rounded(s.peak_rss_kib / 1024.0, 2) as "at 1K"
from scaling m
join scaling a on a.mixer = 'attention' and a.length = m.length
join scaling s on s.mixer = m.mixer and s.length = 1024
where m.length = 131072
order by m.tokens_per_s desc;
