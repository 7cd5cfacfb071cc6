-- S-NIAH-2 of the relatives beside the memory alone and MAL, as many weights, steps and bytes: the first logged step with half
-- of the training samples right, and right of 500 in the New Testament, a number for each training seed.
with asked as (
    select mixer, task, depth, length, train_seed, correct from niah_relatives
    union all select mixer, task, depth, length, train_seed, correct from niah_lengths
    union all select mixer, task, depth, length, train_seed, correct from niah_500 where mixer in ('lmm', 'mal')),
half as (
    select substr(run, 1, instr(run, '_niah2_s') - 1) as mixer, substr(run, -1) as seed,
           coalesce(min(case when exact_match >= 0.5 then step end), 'not') as step
    from training where run like '%\_niah2\_s_' escape '\' group by run)
select '`' || mixer || '`' as mixer,
       (select each(seed, step) from half where half.mixer = asked.mixer) as "half right at step",
       each(train_seed, correct) filter (where length = 1024) as "1K",
       each(train_seed, correct) filter (where length = 2048) as "2K",
       each(train_seed, correct) filter (where length = 16384) as "16K"
from asked
where task = 'niah2' and depth = 'all'
group by mixer
order by avg(correct) filter (where length = 16384) desc, avg(correct) filter (where length = 1024) desc;
