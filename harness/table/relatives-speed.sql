-- Every mixer at 2K tokens, one thread: its state after 4,096 tokens, tokens per second, the share of its kernel's floor
-- (of the FMA peak where no floor is defined), and how many times as fast as the package that it is held against.
with share as (
    select kernel, shape, case when bar_name = 'floor' then ratio_to_bar else percent_of_peak / 100.0 end as part
    from kernels_relatives
    where percent_of_peak <> 'void'
), of_row as (
    select r.mixer,
           (select part from share where kernel = r.kernel_row and (shape like 'K=64 %' or shape like '%D=256 %' or shape like '%H=4 d=%')) as forward,
           (select part from share where kernel = r.kernel_row || '.backward' and (shape like 'K=64 %' or shape like '%D=256 %' or shape like '%H=4 d=%')) as backward
    from relatives r
)
select '`' || t.mixer || '`' as mixer,
       coalesce(r.state_kib, '-') as "state, KiB",
       rounded(s.tokens_per_s, 3) || ' / ' || rounded(t.tokens_per_s, 3) as "reads / trains, tokens/s",
       case when o.backward is not null then case when o.forward is null then 'void' else printf('%.2f', o.forward) end || ' / ' || printf('%.2f', o.backward) end as "share, forward / backward",
       (select rounded(ratio, 2) from peers_xeon where "case" = r.speed_case and threads = 1 and pass = 'forward') || ' / ' ||
       (select rounded(ratio, 2) from peers_xeon where "case" = r.speed_case and threads = 1 and pass = 'both') as "times its peer, forward / both"
from throughput_relatives t
join scaling_relatives s on s.mixer = t.mixer and s.length = t.length
left join relatives r on r.mixer = t.mixer
left join of_row o on o.mixer = t.mixer
where t.length = 2048
order by t.tokens_per_s desc;
