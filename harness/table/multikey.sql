-- MK-NIAH-1 in the New Testament: right of 100, exact 95 % intervals in per cent; one training seed.
with asked as (
    select *, case when checkpoint like '%multikey-more%' or checkpoint like '%attention-multikey%' then 'MK-NIAH-1, 38 MB'
            when checkpoint like '%multikey%' then 'MK-NIAH-1, 13 MB' else 'S-NIAH-2' end as trained from needle_multikey
    where task = 'niah_multikey' and depth = 'all'),
cells as (select mixer, trained, length, correct || ' (' || interval(correct, samples) || ')' as cell, correct from asked)
select '`' || mixer || '`' as mixer, trained as "trained on",
       coalesce(max(cell) filter (where length = 1024), '-') as "1K",
       coalesce(max(cell) filter (where length = 4096), '-') as "4K",
       coalesce(max(cell) filter (where length = 16384), '-') as "16K"
from cells
group by mixer, trained
order by trained, sum(correct) filter (where length = 16384) is null, mixer;
