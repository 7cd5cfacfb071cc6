-- Passkey, all depths: right answers of each training seed; all seeds together at 16K. The transformer is the one that has learned
-- its training length.
with asked as (
    select mixer, task, depth, length, train_seed, correct, samples from needle where mixer <> 'attention'
    union all
    select mixer, task, depth, length, train_seed, correct, samples from needle_positions
    where checkpoint like '%/attention-rope-passkey-%' and "set" = '-')
select '`' || mixer || '`' as mixer,
       each(train_seed, correct) filter (where length = 256) as "256",
       each(train_seed, correct) filter (where length = 4096) as "4K",
       each(train_seed, correct) filter (where length = 131072) as "128K",
       sum(correct) filter (where length = 16384) || '/' || sum(samples) filter (where length = 16384) || ' ('
         || interval(sum(correct) filter (where length = 16384), sum(samples) filter (where length = 16384)) || ' %)'
         as "all at 16K (95 %)"
from asked
where task = 'passkey' and depth = 'all'
group by mixer
order by sum(correct) filter (where length = 16384) desc, mixer desc;
