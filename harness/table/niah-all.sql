-- One model of all six needles in the New Testament, one training seed: right of 100.
select case task when 'niah1' then 'S-NIAH-1' when 'niah2' then 'S-NIAH-2' when 'niah3' then 'S-NIAH-3' when 'niah_multikey' then 'MK-NIAH-1'
                 when 'niah_multivalue' then 'MV-NIAH' else 'MQ-NIAH' end as task,
       max(correct) filter (where length = 2048) as "2K",
       max(correct) filter (where length = 4096) as "4K",
       max(correct) filter (where length = 16384) as "16K"
from niah_all
where depth = 'all'
group by task
order by max(correct) filter (where length = 16384) desc, task;
