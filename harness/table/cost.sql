-- What the trainings cost: how many, millions of tokens each, minutes each on one shared core (median), hours of all.
with kinds as (
    select *,
           case when run like 'sigmoid%' then '1 passkey, sigmoid gates'
                when task = 'passkey' and (run like 'lmm%' or run like 'mac%' or run like 'mag%' or run like 'mal%') then '0 passkey, memories'
                when task = 'passkey' and run like 'attention%' then '2 passkey, transformers'
                when task = 'passkey' then '3 passkey, SWA and relatives'
                when run like '%wide_first%' then '8 several needles, mixtures'
                when run like 'attention%bible%' then '5 S-NIAH-2, transformers, Old Testament'
                when run like '%bible%' then '4 S-NIAH-2, memories, Old Testament'
                when run like 'attention%niah2%' or run like 'lmm%niah%' or run like 'ma__niah%' then '6 S-NIAH, essays'
                when task = 'niah2' then '7 S-NIAH-2, relatives, essays'
                when task = 'text' then '9 text'
                else '8 several needles, mixtures' end as kind
    from trainings),
ranked as (
    select *, row_number() over (partition by kind order by seconds) as place, count(*) over (partition by kind) as count
    from kinds)
select substr(kind, 3) as trainings, count as number,
       rounded(min(tokens) / 1e6, 2) || case when max(tokens) > 1.01 * min(tokens) then ' to ' || rounded(max(tokens) / 1e6, 2) else '' end
         as "million tokens each",
       printf('%.0f', max(seconds) filter (where place = (count + 1) / 2) / 60) as "minutes each, median",
       printf('%.1f', sum(seconds) / 3600) as "hours together"
from ranked
group by kind
order by kind;
