-- The LMM with the paper's sigmoid gates: right of 40 beyond its training length.
select sum(correct) filter (where length = 1024) as at_1k, sum(correct) filter (where length = 16384) as at_16k
from ablation
where depth = 'all' and checkpoint like '%sigmoid_gates-s0.safetensors';
