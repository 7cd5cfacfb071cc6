-- The LMM's passkey recipe with one thing changed, one seed: right out of 40. The checkpoint is named after the change.
with named as (
    select *, rowid as place, rtrim(checkpoint, replace(checkpoint, '/', '')) as folder from ablation where depth = 'all'
), rows as (
    select *, replace(replace(checkpoint, folder, ''), '-s0.safetensors', '') as variant from named
)
select case variant when 'full_recipe' then 'the recipe'
                    when 'sigmoid_gates' then 'the paper''s sigmoid gates, no penalty'
                    when 'no_persistent' then 'no persistent tokens'
                    when 'two_layers' then 'memory of two layers'
                    else replace(variant, '_', ' ') end as "LMM",
       sum(correct) filter (where length = 256) as "256",
       sum(correct) filter (where length = 1024) as "1K",
       sum(correct) filter (where length = 4096) as "4K",
       sum(correct) filter (where length = 16384) as "16K"
from rows
group by variant
order by min(place);
