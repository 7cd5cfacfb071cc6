-- Passkey, all depths, by the precision of the linear maps: right of 40 for every training seed.
select case when checkpoint like '%bf16%' then 'bf16' else 'float32' end as precision,
       each(train_seed, correct) filter (where length = 256) as "256",
       each(train_seed, correct) filter (where length = 1024) as "1K",
       each(train_seed, correct) filter (where length = 4096) as "4K",
       each(train_seed, correct) filter (where length = 16384) as "16K"
from needle_bf16
where depth = 'all'
group by precision
order by precision desc;
