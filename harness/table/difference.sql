-- S-NIAH-2 at 16K, two mixers on the same samples, three seeds each: points, and 95 % intervals of a paired bootstrap.
select '`' || one || '` - `' || other || '`' as pair,
       printf('%.0f', 100 * difference) as "points",
       printf('%.0f to %.0f', 100 * low_samples, 100 * high_samples) as "these models",
       printf('%.0f to %.0f', 100 * low, 100 * high) as "models of any seed",
       printf('%.0f', 100 * detectable) as "detectable"
from difference
where length = 16384
order by difference desc;
