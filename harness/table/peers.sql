-- How many times as fast as a package, forward and forward with backward, one thread and two.
select "case" || case when difference like 'void%' then ' (other numbers)' else '' end as "package and what it computes",
       max(rounded(ratio, 2)) filter (where threads = 1 and pass = 'forward') as "forward",
       max(rounded(ratio, 2)) filter (where threads = 1 and pass = 'both') as "both",
       max(rounded(ratio, 2)) filter (where threads = 2 and pass = 'forward') as "forward, 2 threads",
       max(rounded(ratio, 2)) filter (where threads = 2 and pass = 'both') as "both, 2 threads"
from peers
where rounds > 0
group by "case"
order by min(rowid);
