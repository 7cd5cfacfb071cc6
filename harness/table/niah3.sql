-- S-NIAH-3 in the New Testament after a short training on S-NIAH-2: right of 40 for each training seed.
select '`' || mixer || '`' as mixer,
       each(train_seed, correct) filter (where length = 2048) as "2K",
       each(train_seed, correct) filter (where length = 8192) as "8K",
       each(train_seed, correct) filter (where length = 16384) as "16K",
       interval(sum(correct) filter (where length = 16384), sum(samples) filter (where length = 16384))
         as "16K, % (95 %)"
from niah_more
where task = 'niah3' and depth = 'all'
group by mixer
order by avg(accuracy) filter (where length = 2048) desc;
