-- How many times as fast as a package, forward and forward with backward, one thread.
select "case" as "package", computes as "what it computes",
       max(rounded(ratio, 2)) filter (where pass = 'forward') as "forward",
       max(rounded(ratio, 2)) filter (where pass = 'both') as "with backward"
from peers
where rounds > 0 and threads = 1
group by "case"
order by min(rowid);
