-- The first of the measured lengths at which a mixer reads faster, or holds less, than attention in the same model.
select '`' || m.mixer || '`' as mixer,
       tokens(min(m.length) filter (where m.tokens_per_s > a.tokens_per_s)) as "faster from",
       tokens(min(m.length) filter (where m.peak_rss_kib < a.peak_rss_kib)) as "less memory from",
       rounded(max(1.0 * m.tokens_per_s / a.tokens_per_s) filter (where m.length = 131072), 2) as "times as fast at 128K",
       rounded(max(1.0 * a.peak_rss_kib / m.peak_rss_kib) filter (where m.length = 131072), 3) as "times less memory"
from scaling m
join scaling a on a.mixer = 'attention' and a.length = m.length
where m.mixer <> 'attention'
group by m.mixer
order by max(m.tokens_per_s) filter (where m.length = 131072) desc;
