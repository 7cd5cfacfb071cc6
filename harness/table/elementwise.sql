-- Element-wise kernels on the EPYC: shares of the roofline, and both commits' speeds in turns.
select k.kernel as kernel,
       printf('%.2f', k.ratio_to_bar) as share,
       printf('%.1f', e.now / e.before) as "times faster",
       iif(b.kernel is null, '-', printf('%.2f', b.ratio_to_bar)) as "backward, share",
       iif(b.kernel is null, '-', printf('%.1f', f.now / f.before)) as "backward, times faster"
from kernels_epyc as k
join elementwise as e on e.kernel = k.kernel
left join kernels_epyc as b on b.kernel = k.kernel || '.backward'
left join elementwise as f on f.kernel = b.kernel
where k.bar_name = 'roofline' and k.kernel not like '%.backward'
group by k.kernel
order by min(k.rowid);
