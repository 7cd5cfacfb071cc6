-- S-NIAH-1 with words that were not trained on: right of 40, by a model trained on it and by models trained on S-NIAH-2 that
-- never saw its noise lines.
select '`' || mixer || '`' as mixer, source as "trained on",
       max(correct) filter (where length = 2048) as "2K",
       max(correct) filter (where length = 8192) as "8K",
       max(correct) filter (where length = 16384) as "16K"
from (select 'S-NIAH-1' as source, * from needle_niah union all select 'S-NIAH-2', * from niah1_transfer)
where task = 'niah1' and depth = 'all'
group by mixer, source
order by source, max(correct) filter (where length = 16384) desc, mixer;
