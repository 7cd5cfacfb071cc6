-- S-NIAH-2 in the New Testament, all depths: transformers that read the Old, by their positions and by how they are asked;
-- right answers of 100 of each training seed.
select case model when 'rope' then 'RoPE' when 'nope' then 'NoPE' when 'alibi' then 'ALiBi' when 'alibi-long' then 'ALiBi, to 4K' else 'RoPE, rate 2e-3' end
         || case asked when '-' then '' when 'rope_scaling=ntk' then ', NTK' when 'rope_scaling=yarn' then ', YaRN'
                       else ', log-length scale' end as transformer,
       coalesce(each(train_seed, correct) filter (where length = 512), '-') as "512",
       each(train_seed, correct) filter (where length = 1024) as "1K",
       each(train_seed, correct) filter (where length = 2048) as "2K",
       each(train_seed, correct) filter (where length = 4096) as "4K"
from (select *, replace(replace(substr(checkpoint, instr(checkpoint, 'attention-') + 10), '-s' || train_seed || '.safetensors', ''),
                        '-bible', '') as model,
             "set" as asked from niah_positions where depth = 'all')
group by model, asked
order by model = 'rope-twice', model = 'alibi-long', model = 'alibi', model = 'nope', asked != '-', asked;
