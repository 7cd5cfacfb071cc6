-- Passkey beyond the lengths of needle.tsv, training seed 0.
select '`' || mixer || '`, seed ' || train_seed as mixer,
       max(correct || '/' || samples) filter (where length = 1048576) as "1M",
       max(correct || '/' || samples) filter (where length = 2097152) as "2M",
       max(correct || '/' || samples) filter (where length = 10485760) as "10M"
from (select * from needle_long union all select * from needle_long_20)
where depth = 'all'
group by mixer, train_seed
order by mixer;
