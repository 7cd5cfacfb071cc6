-- Passkey, all depths: transformers by their positions and by how they are asked; right answers of each training seed.
select case model when 'rope' then 'RoPE' when 'nope' then 'NoPE' when 'alibi' then 'ALiBi'
                  when 'equal' then 'RoPE, 5.9 million tokens' else 'RoPE, to 1K' end
         || case asked when '-' then '' when 'rope_scaling=ntk' then ', NTK' when 'rope_scaling=yarn' then ', YaRN'
                       else ', log-length scale' end as transformer,
       each(train_seed, correct) filter (where length = 256) as "256",
       each(train_seed, correct) filter (where length = 512) as "512",
       each(train_seed, correct) filter (where length = 1024) as "1K",
       each(train_seed, correct) filter (where length = 4096) as "4K"
from (select *, replace(substr(checkpoint, 31), '-passkey-s' || train_seed || '.safetensors', '') as model,
             "set" as asked from needle_positions where depth = 'all')
group by model, asked
order by model = 'equal', model = 'long', model = 'alibi', model = 'nope', asked != '-', asked;
