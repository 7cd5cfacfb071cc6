-- Passkey with 500 samples a seed and length, all depths: right answers of each training seed; all seeds together at 16K.
select '`' || mixer || '`' as mixer,
       each(train_seed, correct) filter (where length = 2048) as "2K",
       each(train_seed, correct) filter (where length = 4096) as "4K",
       each(train_seed, correct) filter (where length = 16384) as "16K",
       interval(sum(correct) filter (where length = 16384), sum(samples) filter (where length = 16384)) as "16K, % (95 %)"
from passkey_500
where depth = 'all'
group by mixer
order by sum(correct) filter (where length = 16384) desc;
