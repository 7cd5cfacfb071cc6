-- Every relative: lines of its reference, the kernel that computes it, the largest share of a bound that its outputs and
-- gradients use, and the published vectors that it has passed, failed, skipped.
select '`' || mixer || '`' as mixer, reference_lines as "reference, lines", kernel,
       case when error_over_bound > 0 then printf('%.2f', error_over_bound) end as "error / bound",
       case when passed + failed + skipped then passed || ' / ' || failed || ' / ' || skipped end as "peers: pass / fail / skip"
from relatives
order by rowid;
