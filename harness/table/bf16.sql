-- Products in bf16: Gflop/s, and how many times as fast as in float32.
select kernel, shape || case when isa = 'amx' then ', AMX' else '' end as "M x N x K",
       case when gflops = '-' then met else rounded(gflops, 3) end as "Gflop/s",
       case when ratio_to_bar = '-' then goal else printf('%.2f', ratio_to_bar) end as "of float32"
from bf16
where kernel <> 'bf16.step';
