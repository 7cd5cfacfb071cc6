-- One model of all three needles in the New Testament: right of 100 at 2K and at 16K.
select '`' || mixer || '`' as mixer,
       sum(correct) filter (where task = 'niah1' and length = 2048) || ', '
         || sum(correct) filter (where task = 'niah1' and length = 16384) as "S-NIAH-1: 2K, 16K",
       sum(correct) filter (where task = 'niah2' and length = 2048) || ', '
         || sum(correct) filter (where task = 'niah2' and length = 16384) as "S-NIAH-2",
       sum(correct) filter (where task = 'niah3' and length = 2048) || ', '
         || sum(correct) filter (where task = 'niah3' and length = 16384) as "S-NIAH-3",
       max(correct || ' (' || interval(correct, samples) || ')') filter (where task = 'niah3' and length = 16384)
         as "S-NIAH-3 at 16K (95 %)"
from niah_mixed
where depth = 'all'
group by mixer
order by sum(correct) desc;
