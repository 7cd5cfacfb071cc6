-- Passkey far beyond the training length, 40 samples a seed and length, all depths: right answers of each training seed.
select '`' || mixer || '`' as mixer,
       each(train_seed, correct) filter (where length = 65536) as "64K",
       each(train_seed, correct) filter (where length = 262144) as "256K",
       coalesce(each(train_seed, correct) filter (where length = 1048576), '-') as "1M"
from passkey_500_long
where depth = 'all'
group by mixer
order by sum(correct) filter (where length = 262144) desc;
