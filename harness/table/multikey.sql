-- MK-NIAH-1 in the New Testament: right of 100, a number for each training seed.
with asked as (
    select *, case when checkpoint like '%multikey-wide%' then 'MK-NIAH-1, 64 taps, one head' when checkpoint like '%multikey%' and mixer <> 'attention' then 'MK-NIAH-1, 12 taps, two heads'
                   when checkpoint like '%multikey%' then 'MK-NIAH-1' else 'S-NIAH-2 alone' end as trained
    from needle_multikey
    where task = 'niah_multikey' and depth = 'all')
select '`' || mixer || '`' as mixer, trained,
       coalesce(each(train_seed, correct) filter (where length = 1024), '-') as "1K",
       coalesce(each(train_seed, correct) filter (where length = 4096), '-') as "4K",
       coalesce(each(train_seed, correct) filter (where length = 16384), '-') as "16K"
from asked
group by mixer, trained
order by trained = 'S-NIAH-2 alone', max(correct) filter (where length = 1024) desc, mixer;
