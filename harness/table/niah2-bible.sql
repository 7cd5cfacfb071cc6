-- S-NIAH-2 in the New Testament, by what was trained on: right of 500 for each training seed, all of them in per cent.
with asked as (
  select 'bible' as trained, * from niah_bible union all select 'essays', * from niah_500)
select '`' || mixer || '`' as mixer,
       each(train_seed, correct) filter (where trained = 'bible' and length = 2048) as "2K",
       each(train_seed, correct) filter (where trained = 'bible' and length = 16384) as "16K",
       rounded(100.0 * sum(correct) filter (where trained = 'bible' and length = 16384)
               / sum(samples) filter (where trained = 'bible' and length = 16384), 3)
         || ' (' || interval(sum(correct) filter (where trained = 'bible' and length = 16384),
                             sum(samples) filter (where trained = 'bible' and length = 16384)) || ')' as "all at 16K, %",
       rounded(100.0 * sum(correct) filter (where trained = 'essays' and length = 16384)
               / sum(samples) filter (where trained = 'essays' and length = 16384), 3) as "trained in the essays, %"
from asked
where task = 'niah2' and depth = 'all' and mixer <> 'attention'
group by mixer
order by sum(correct) filter (where trained = 'bible' and length = 16384) desc;
