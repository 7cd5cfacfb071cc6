-- Tokens/s beside a process that computes on one of two cores: one thread, two threads, and two threads alone.
select '`' || mixer || '`' as mixer, work,
       rounded(beside_1_tokens_per_s, 3) as "1 thread beside it",
       rounded(beside_tokens_per_s, 3) as "2 threads beside it",
       printf('%.2f', beside_over_1) as ratio
from contention;
