-- All trainings with sigmoid gates: how many, and hours on one thread.
select count(*) as runs, printf('%.1f', sum(seconds) / 3600) as hours
from trainings
where run like 'sigmoid\_%' escape '\';
