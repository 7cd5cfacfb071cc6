-- How many times as fast as a package, forward and forward with backward, one thread of two machines.
with both as (select rowid as place, *, 'epyc' as machine from peers
              union all select rowid, *, 'xeon' from peers_xeon)
select "case" as "package", computes as "what it computes",
       max(rounded(ratio, 2)) filter (where machine = 'epyc' and pass = 'forward') || ' / ' ||
       max(rounded(ratio, 2)) filter (where machine = 'epyc' and pass = 'both') as "EPYC",
       max(rounded(ratio, 2)) filter (where machine = 'xeon' and pass = 'forward') || ' / ' ||
       max(rounded(ratio, 2)) filter (where machine = 'xeon' and pass = 'both') as "Xeon"
from both
where rounds > 0 and threads = 1
group by "case"
order by min(place);
