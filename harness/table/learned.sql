-- Passkey: the first logged step of each training seed at which 95 % of its training samples were right.
with models(place, name, label) as (values
    (0, 'lmm', 'LMM'), (1, 'mac', 'MAC'), (2, 'mag', 'MAG'), (3, 'mal', 'MAL'),
    (4, 'attention_rope', 'RoPE'), (5, 'attention_nope', 'NoPE'), (6, 'attention_alibi', 'ALiBi')),
learned as (
    select run, substr(run, -1) as seed, min(step) as step from training where exact_match >= 0.95 group by run)
select label as model, each(seed, step) as "steps"
from models join learned on run like name || '_passkey_s_'
group by place, label
order by place;
