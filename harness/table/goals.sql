-- Goals of the kernels, wanted and measured over their shapes, on two instruction sets of one machine and on another machine.
with both as (
    select 'avx512' as machine, * from kernels union all select 'avx2', * from kernels_avx2
    union all select 'epyc', * from kernels_epyc),
goals as (
    select machine, goal, kernel, met,
           case when bar_name in ('summary', '1 thread') or bar_name like 'attend%' or bar_name like 'naive%'
                then ratio_to_bar else percent_of_peak end as measured
    from both
    where goal like '%:%' and met <> 'void' and not (goal like '3:%' and bar_name <> 'summary')),
measured as (
    select machine, goal, kernel,
           case when count(*) > 1 then rounded(min(measured), 3) || ' to ' else '' end || rounded(max(measured), 3) ||
           case when sum(met = 'yes') = count(*) then '' when count(*) = 1 then ', missed'
                else ', missed in ' || sum(met <> 'yes') || ' of ' || count(*) end as text
    from goals group by machine, goal, kernel)
select kernel || ' (' || cast(goal as integer) || ')' as "kernel (goal)", trim(substr(goal, instr(goal, ':') + 1)) as wanted,
       coalesce(max(text) filter (where machine = 'avx512'), '-') as "AVX-512",
       coalesce(max(text) filter (where machine = 'avx2'), '-') as "AVX2",
       coalesce(max(text) filter (where machine = 'epyc'), '-') as "EPYC"
from measured
group by goal, kernel
order by cast(goal as integer), kernel, wanted;
