-- Kernels that are no recurrence over a matrix: part of the FMA peak, and how many times as fast as full attention.
select f.kernel, printf('%.2f', f.percent_of_peak / 100.0) as "of the peak, forward",
       printf('%.2f', b.percent_of_peak / 100.0) as "backward",
       printf('%.1f', f.ratio_to_bar) as "times attention, forward", printf('%.1f', b.ratio_to_bar) as "backward "
from kernels_relatives f
join kernels_relatives b on b.kernel = f.kernel || '.backward' and b.shape = f.shape
where f.bar_name like 'attention%'
order by f.rowid;
