-- What the gates of a first layer do at fillers, the mean of heads and seeds, and how far that should reach and does: the
-- distance at which forgetting and overwriting leave 1/e, and the longest at which half of the needles are found. Models of
-- one memory layer that find 36 of 40 at the training length.
with learned as (
    select checkpoint, replace(substr(checkpoint, instr(checkpoint, 'sigmoid-') + 8), '-passkey-s' || train_seed || '.safetensors', '') as name
    from needle_gates where depth = 'all' and length = 256 and correct >= 36 and checkpoint not like '%-deep-%'),
filler as (
    select name, avg(alpha) as alpha, avg(theta) as theta, avg(1 / (alpha + 2 * theta / head_width)) as reach
    from gates join learned using (checkpoint) where layer = 0 group by name),
places as (
    select name, cast(round((1 - depth) * length, -1) as integer) as distance, sum(correct) as correct, sum(samples) as samples
    from needle_gates join learned using (checkpoint) where depth <> 'all' group by name, distance),
found as (select name, max(distance) as half from places where 2 * correct >= samples group by name)
select '`' || name || '`' as "recipe sigmoid-",
       printf('%.1e', alpha) as alpha, printf('%.1e', theta) as theta,
       rounded(reach, 2) as "reach, predicted",
       rounded(half, 2) as "reach, found"
from filler join found using (name)
order by half;
