-- Tokens/s beside a process that computes on one of two cores: one thread, two threads, and two threads alone.
select '`' || mixer || '`' as mixer, work,
       printf('%,.0f', beside_1_tokens_per_s) as "1 thread beside it",
       printf('%,.0f', beside_tokens_per_s) as "2 threads beside it",
       printf('%.2f', beside_over_1) as ratio
from contention;
