-- What a memory writes in 16,384 bytes of S-NIAH-2 in the New Testament, both layers together, beside what it keeps of 500.
select '`' || w.mixer || '`, seed ' || w.train_seed as model,
       rounded(w.bytes, 3) as "bytes written",
       rounded(e.bytes, 3) as "in the essays",
       max(n.correct) as "right of 500 at 16K"
from (select mixer, train_seed, checkpoint, sum(written) as bytes from writes where task = 'niah2' group by checkpoint) w
join (select checkpoint, sum(written) as bytes from essays_writes group by checkpoint) e on e.checkpoint = w.checkpoint
join niah_500 n on n.checkpoint = w.checkpoint
where n.depth = 'all' and n.length = 16384 and n.task = 'niah2'
group by w.checkpoint
order by w.bytes;
