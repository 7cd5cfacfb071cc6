-- Tiled attention beside plain softmax attention of one head: times as fast, and as much memory.
select substr(shape, 3, 4) + 0 as tokens,
       max(printf('%.1f', ratio_to_bar)) filter (where kernel = 'softmax') as "times, forward",
       max(printf('%.1f', ratio_to_bar)) filter (where kernel = 'softmax.backward') as "times, backward",
       max(printf('%.1f', ratio_to_bar)) filter (where kernel = 'softmax.memory') as "memory, forward",
       max(printf('%.1f', ratio_to_bar)) filter (where kernel = 'softmax.backward.memory') as "memory, backward"
from softmax
group by tokens
order by tokens;
