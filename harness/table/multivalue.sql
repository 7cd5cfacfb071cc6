-- MV-NIAH and MQ-NIAH in the New Testament: samples of 100 of which all four numbers are right, a number for each training seed.
select '`' || mixer || '`' as mixer,
       case task when 'niah_multivalue' then 'four values of a key' else 'values of four keys' end as "asked for",
       each(train_seed, correct) filter (where length in (1024, 1280)) as "1K",
       coalesce(each(train_seed, correct) filter (where length = 4096), '-') as "4K",
       coalesce(each(train_seed, correct) filter (where length = 16384), '-') as "16K"
from needle_multivalue
where depth = 'all'
group by task, mixer
order by task desc, sum(correct) filter (where length in (1024, 1280)) desc;
