-- All trainings of cost.sql together.
select count(*) as runs, printf('%.0f', sum(seconds) / 3600) as hours
from trainings;
