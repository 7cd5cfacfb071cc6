-- The LMM with sigmoid gates that begin nearly shut, and its best seed: right of 40, and what the seeds reach.
select sum(correct) filter (where length = 16384) as at_16k, sum(correct) filter (where length = 65536) as at_64k
from needle_gates
where depth = 'all' and checkpoint like '%sigmoid-still-passkey-s0%';
