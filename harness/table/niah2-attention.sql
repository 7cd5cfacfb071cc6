-- The transformer on S-NIAH-2 after 24.6 million bytes and after 2.5 times as many: right and samples by length.
select bytes,
       max(correct || '/' || samples) filter (where length = 1024) as "1K",
       max(correct || '/' || samples) filter (where length = 2048) as "2K",
       max(correct || '/' || samples) filter (where length = 4096) as "4K",
       max(correct || '/' || samples) filter (where length = 16384) as "16K"
from (select 'as the others' as bytes, * from needle_niah union all select '2.5 times as many', * from niah_more)
where mixer = 'attention' and task = 'niah2' and depth = 'all'
group by bytes
order by bytes = 'as the others' desc;
