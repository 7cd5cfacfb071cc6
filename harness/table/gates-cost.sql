-- All trainings with sigmoid gates: how many, and hours on one thread, from what each had read at its last step and how fast.
select count(*) as runs, printf('%.1f', sum(tokens / speed) / 3600) as hours
from (select run, 32.0 * sum(length * (step - before)) as tokens, max(speed) as speed
      from (select run, step, length, lag(step, 1, 0) over (partition by run order by step) as before,
                   first_value(tokens_per_s) over (partition by run order by step desc) as speed
            from training where run like 'sigmoid\_%' escape '\')
      group by run);
