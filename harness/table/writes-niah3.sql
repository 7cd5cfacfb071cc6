-- What memories write in 16,384 bytes of S-NIAH-3, in the essays and in the New Testament, and what they keep of 40.
select '`' || w.mixer || '`, seed ' || w.train_seed as model,
       rounded(e.bytes, 3) as "written in the essays",
       rounded(w.bytes, 3) as "in the New Testament",
       max(n.correct) filter (where n.length = 2048) as "right of 40 at 2K",
       max(n.correct) filter (where n.length = 16384) as "at 16K"
from (select mixer, train_seed, checkpoint, sum(written) as bytes from writes
      where task = 'niah3' and checkpoint like '%-more-%' group by checkpoint) w
join (select checkpoint, sum(written) as bytes from essays_writes group by checkpoint) e on e.checkpoint = w.checkpoint
join niah_more n on n.checkpoint = w.checkpoint
where n.depth = 'all' and n.task = 'niah3'
group by w.checkpoint
order by w.bytes;
