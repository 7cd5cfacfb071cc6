-- Passkey of the relatives that learned it little or not, trained at half the rate (one seed), right answers of 40, beside seed 0 at
-- the rate of all.
with both as (
    select mixer, length, correct, 'half' as rate from needle_relatives_rate where depth = 'all'
    union all
    select mixer, length, correct, 'all' from needle_relatives where depth = 'all' and train_seed = 0)
select '`' || mixer || '`' as mixer,
       max(correct) filter (where length = 256 and rate = 'all') as "256",
       max(correct) filter (where length = 256 and rate = 'half') as "256, half the rate",
       max(correct) filter (where length = 16384 and rate = 'all') as "16K",
       max(correct) filter (where length = 16384 and rate = 'half') as "16K, half the rate"
from both
where mixer in (select mixer from needle_relatives_rate)
group by mixer
order by max(correct) filter (where length = 256 and rate = 'half') desc, mixer;
