-- Speed with denormal numbers flushed from outside over that as it is: least, middle and greatest of all mixers.
select count(*) as rows,
       printf('%.2f', min(flushed_over_as_is)) as least,
       (select printf('%.2f', flushed_over_as_is) from denormals order by flushed_over_as_is
        limit 1 offset (select count(*) / 2 from denormals)) as middle,
       printf('%.2f', max(flushed_over_as_is)) as greatest
from denormals;
