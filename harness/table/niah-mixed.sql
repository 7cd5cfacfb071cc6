-- One model of all three needles in the New Testament: right of 100 at 2K and at 16K, a number for each training seed.
select '`' || mixer || '`' as mixer,
       case task when 'niah1' then 'S-NIAH-1' when 'niah2' then 'S-NIAH-2' else 'S-NIAH-3' end as task,
       each(train_seed, correct) filter (where length = 2048) as "2K",
       each(train_seed, correct) filter (where length = 16384) as "16K",
       interval(sum(correct) filter (where length = 16384), sum(samples) filter (where length = 16384))
         as "16K, % (95 %)"
from niah_mixed
where depth = 'all'
group by mixer, task
order by sum(sum(correct)) over (partition by mixer) desc, task;
