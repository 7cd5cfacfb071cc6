-- All trainings of cost.sql together.
with steps as (
    select run, task, length, step, step - lag(step, 1, 0) over (partition by run order by step) as count,
           first_value(tokens_per_s) over (partition by run order by step desc) as speed
    from training)
select count(*) as runs, printf('%.0f', sum(seconds) / 3600) as hours
from (select case task when 'passkey' then 32.0 else 16.0 end * sum(length * count) / max(speed) as seconds from steps group by run);
