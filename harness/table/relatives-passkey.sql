-- Passkey of the relatives, all depths: right answers of 40, a number for each training seed; best at 16K first.
select '`' || mixer || '`' as mixer,
       each(train_seed, correct) filter (where length = 256) as "256",
       each(train_seed, correct) filter (where length = 1024) as "1K",
       each(train_seed, correct) filter (where length = 4096) as "4K",
       each(train_seed, correct) filter (where length = 16384) as "16K"
from needle_relatives
where depth = 'all'
group by mixer
order by avg(correct) filter (where length = 16384) desc, avg(correct) filter (where length = 4096) desc,
         avg(correct) filter (where length = 256) desc, mixer;
