-- Passkey of the memories by learning rate, training seed 0: right answers of 40.
with rated as (
    select mixer, case when checkpoint like '%-half-%' then '1e-3' else '4e-3' end as rate, length, correct
    from needle_rates where depth = 'all' and train_seed = 0
    union all
    select mixer, '2e-3', length, correct from needle
    where depth = 'all' and task = 'passkey' and train_seed = 0 and mixer in (select mixer from needle_rates))
select '`' || mixer || '`' as mixer, rate,
       max(correct) filter (where length = 256) as "256",
       max(correct) filter (where length = 4096) as "4K",
       max(correct) filter (where length = 16384) as "16K"
from rated
group by mixer, rate
order by mixer, rate;
