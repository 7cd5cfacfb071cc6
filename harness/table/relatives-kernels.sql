-- The recurrences' kernels as a share of their floor, one thread.
select f.kernel, f.shape as size,
       printf('%.2f', case when f.bar_name = 'floor' then f.ratio_to_bar else f.percent_of_peak / 100.0 end) as "forward (0.70 wanted)",
       printf('%.2f', case when b.bar_name = 'floor' then b.ratio_to_bar else b.percent_of_peak / 100.0 end) as "backward (0.55 wanted)"
from kernels_relatives f
join kernels_relatives b on b.kernel = f.kernel || '.backward' and b.shape = f.shape
where f.kernel like 'delta%' or f.kernel = 'momentum' or f.kernel like 'scan%'
order by f.rowid;
