-- What memories write in 16,384 bytes of S-NIAH-3, both layers together, and what they keep from 2K to 16K.
select '`' || w.mixer || '`, seed ' || w.train_seed as model,
       rounded(w.bytes, 3) as "bytes written",
       max(n.correct) filter (where n.length = 2048) as "right of 500 at 2K",
       max(n.correct) filter (where n.length = 16384) as "at 16K",
       rounded(100.0 * (max(n.correct) filter (where n.length = 2048) - max(n.correct) filter (where n.length = 16384))
         / max(n.correct) filter (where n.length = 2048), 2) as "lost, %"
from (select mixer, train_seed, checkpoint, sum(written) as bytes from writes
      where task = 'niah3' and checkpoint like '%-more-%' group by checkpoint) w
join niah_more n on n.checkpoint = w.checkpoint
where n.depth = 'all' and n.task = 'niah3'
group by w.checkpoint
order by w.bytes;
