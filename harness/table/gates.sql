-- Passkey by LMMs with the paper's sigmoid gates: what was tried, initial biases of the gates first; right of 40 for each seed.
with tries(place, name, tried) as (values
    (1, 'plain', 'alpha -2, theta -1'),
    (2, 'closed', 'alpha -8, theta -4'),
    (3, 'long', '- and sequences to 1K'),
    (4, 'chunk', '- and chunks of 128'),
    (5, 'deep', '- and a memory of two layers'),
    (6, 'quiet', 'alpha -8, theta -8'),
    (7, 'shut', 'alpha -20, theta -8'),
    (8, 'shut-long', '- and sequences to 1K'),
    (9, 'shut-far', '- and sequences to 4K, 1.5 times the tokens'),
    (10, 'shut-more', '- and 1.5 times the tokens (seed 1)'),
    (11, 'still', 'alpha -20, theta -10, 1.5 times the tokens'),
    (12, 'silent', 'alpha -20, theta -12')),
needles as (
    select *, replace(substr(checkpoint, instr(checkpoint, 'sigmoid-') + 8), '-passkey-s' || train_seed || '.safetensors', '') as name
    from needle_gates where depth = 'all')
select tried as "sigmoid gates",
       each(train_seed, correct) filter (where length = 256) as "256",
       each(train_seed, correct) filter (where length = 4096) as "4K",
       each(train_seed, correct) filter (where length = 16384) as "16K",
       each(train_seed, correct) filter (where length = 65536) as "64K"
from tries join needles using (name)
group by place
order by place;
