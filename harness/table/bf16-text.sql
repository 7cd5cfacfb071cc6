-- Loss of text (nats a byte) along the training, by precision: seeds 0 and 1.
select case when run like '%bf16%' then 'bf16' else 'float32' end as precision,
       each(run, printf('%.4f', loss)) filter (where step = 20) as "step 20",
       each(run, printf('%.4f', loss)) filter (where step = 50) as "50",
       each(run, printf('%.4f', loss)) filter (where step = 80) as "80",
       each(run, printf('%.4f', loss)) filter (where step = 100) as "100"
from training
where run like 'lmm_text_s_' or run like 'lmm_bf16_text_s_'
group by precision
order by precision desc;
