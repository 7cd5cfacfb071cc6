-- Goals of the kernels, wanted and measured over their shapes.
select cast(goal as integer) as goal, kernel,
       trim(substr(goal, instr(goal, ':') + 1)) as wanted,
       case when count(*) > 1 then rounded(min(measured), 3) || ' to ' else '' end || rounded(max(measured), 3) as measured,
       case when sum(met = 'yes') = count(*) then 'met' when count(*) = 1 then 'missed' else 'missed in ' || sum(met <> 'yes') || ' of ' || count(*) end as " "
from (select *, case when bar_name in ('summary', '1 thread') or bar_name like 'attend%' or bar_name like 'naive%'
                     then ratio_to_bar else percent_of_peak end as measured
      from kernels
      where goal <> '-' and not (goal like '3:%' and bar_name <> 'summary'))
group by goal, kernel
order by cast(goal as integer), kernel, wanted;
