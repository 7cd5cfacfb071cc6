-- The same models at 16K in the prose that they were trained on and in prose that they never saw: share right, in per cent.
with asked as (
  select 'a' as prose, * from essays_niah union all select 'a', * from essays_niah_more
  union all select 'b', * from essays_novels
  union all select 'c', * from (select * from niah_500 union all select * from niah_more))
select case task when 'niah2' then 'S-NIAH-2' else 'S-NIAH-3' end as task, '`' || mixer || '`' as mixer,
       rounded(100.0 * sum(correct) filter (where prose = 'a') / sum(samples) filter (where prose = 'a'), 3)
         as "essays, trained on",
       rounded(100.0 * sum(correct) filter (where prose = 'b') / sum(samples) filter (where prose = 'b'), 3)
         as "novels",
       rounded(100.0 * sum(correct) filter (where prose = 'c') / sum(samples) filter (where prose = 'c'), 3)
         as "New Testament"
from asked
where depth = 'all' and length = 16384 and mixer <> 'attention'
  and case task when 'niah2' then checkpoint not like '%-more-%' else checkpoint like '%-more-%' end
group by task, mixer
order by task, sum(correct) filter (where prose = 'c') * 1.0 / sum(samples) filter (where prose = 'c') desc;
