-- Whole training steps, tokens/s by sequence length.
select '`' || mixer || '`' as mixer,
       rounded(max(tokens_per_s) filter (where length = 2048), 3) as "2K",
       rounded(max(tokens_per_s) filter (where length = 8192), 3) as "8K",
       rounded(max(tokens_per_s) filter (where length = 32768), 3) as "32K"
from throughput_train
group by mixer
order by max(tokens_per_s) filter (where length = 32768) desc;
