-- S-NIAH-2 in the New Testament: right of 500 for each training seed (of 40 at 64K).
select '`' || mixer || '`' as mixer,
       each(train_seed, correct) filter (where length = 2048) as "2K",
       each(train_seed, correct) filter (where length = 16384) as "16K",
       each(train_seed, correct) filter (where length = 65536) as "64K (of 40)",
       rounded(100.0 * sum(correct) filter (where length = 16384) / sum(samples) filter (where length = 16384), 3)
         || ' (' || interval(sum(correct) filter (where length = 16384), sum(samples) filter (where length = 16384))
         || ')' as "all at 16K, %"
from (select * from niah_500 union all select * from needle_niah_long)
where task = 'niah2' and depth = 'all' and mixer <> 'attention'
group by mixer
order by sum(correct) filter (where length = 16384) desc;
