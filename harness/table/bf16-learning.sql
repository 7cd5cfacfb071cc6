-- Steps until 95 of 100 samples of a training batch are right, and the last loss, by precision and seed.
select case when run like '%bf16%' then 'bf16' else 'float32' end as precision,
       each(run, first) as "steps to 0.95", each(run, last) as "last loss"
from (select run, min(step) filter (where exact_match >= 0.95) as first,
             max(printf('%.5f', loss)) filter (where step = 2050) as last
      from training
      where run like 'lmm_passkey_s_' or run like 'lmm_bf16_passkey_s_'
      group by run)
group by precision
order by precision desc;
