-- Training steps: how many times as fast in bf16 as in float32, by mixer and width.
select '`' || substr(shape, 1, instr(shape, ' ') - 1) || '`' as mixer,
       max(printf('%.2f', ratio_to_bar)) filter (where shape like '% d=64 %') as "width 64",
       max(printf('%.2f', ratio_to_bar)) filter (where shape like '% d=256 %') as "width 256"
from bf16
where kernel = 'bf16.step'
group by mixer
order by mixer;
