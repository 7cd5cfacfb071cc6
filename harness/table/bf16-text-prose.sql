-- Loss of text at step 100: bf16 above float32 of the same seed, and how far the seeds of float32 are apart.
with last as (select run, loss from training where step = 100 and (run like 'lmm_text_s_' or run like 'lmm_bf16_text_s_'))
select printf('%.3f', a.loss - b.loss) as first, printf('%.3f', c.loss - d.loss) as second, printf('%.3f', abs(b.loss - d.loss)) as seeds
from last a, last b, last c, last d
where a.run like 'lmm_bf16_text_s0' and b.run like 'lmm_text_s0' and c.run like 'lmm_bf16_text_s1' and d.run like 'lmm_text_s1';
