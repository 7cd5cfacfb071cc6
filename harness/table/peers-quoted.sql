-- Forward and backward of the memory layer beside titans-pytorch's, one thread: how many times as fast, at one update a token of both
-- and at theirs of 64 tokens.
with pairs as (
    select ratio, instr("case", 'depth 1') > 0 as shallow, "case" like '% chunk 1' as token, "case" like '% chunk 64' as chunk
    from peers where package like 'titans-pytorch%' and pass = 'both' and threads = 1 and rounds > 0)
select rounded(max(ratio) filter (where token and shallow), 2) as token_1, rounded(max(ratio) filter (where token and not shallow), 2) as token_2,
       rounded(max(ratio) filter (where chunk and shallow), 2) as chunk_1, rounded(max(ratio) filter (where chunk and not shallow), 2) as chunk_2
from pairs;
