-- Token by token: the memory by itself in cycles a weight; whole models against one call of all tokens.
select '`' || shape || '`' as "memory or mixer",
       case when kernel = 'memory.decode' then printf('%.2f', ratio_to_bar) else '-' end as "cycles a weight",
       case when kernel = 'memory.decode' then '-' else gflops end as "Gflop/s",
       case when kernel = 'memory.decode' then '-' else printf('%.2f', ratio_to_bar) end as "speed over one call"
from decode;
