-- Largest error of the weights over the largest weight, up to so many tokens.
select memory,
       printf('%.0e', max(error_of_weights) filter (where tokens <= 1024)) as "1K",
       printf('%.0e', max(error_of_weights) filter (where tokens <= 16384)) as "16K",
       printf('%.0e', max(error_of_weights) filter (where tokens <= 262144)) as "256K",
       printf('%.0e', max(error_of_weights) filter (where tokens <= 1048576)) as "1M"
from drift
group by memory
order by max(error_of_weights) filter (where tokens <= 262144);
