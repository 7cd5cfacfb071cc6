-- One sequence through four layers, two threads: how many times as fast as one, and as two that share every op.
select '`' || shape || '`' as mixer,
       printf('%.2f', max(ratio_to_bar) filter (where bar_name = '1 thread')) as "of one thread",
       printf('%.2f', max(ratio_to_bar) filter (where bar_name = 'threads within ops')) as "of two within ops"
from wave
group by shape
order by min(rowid);
