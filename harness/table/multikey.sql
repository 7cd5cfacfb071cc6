-- MK-NIAH-1 in the New Testament: right of 100, a number for each training seed.
with kinds(place, part, mixer, trained) as (values
    (0, 'mag-multikey-sparse', 'mag', '64 taps, then with a penalty'), (1, 'mag-multikey-wide', 'mag', '64 taps'),
    (2, 'lmm-multikey-wide', 'lmm', '64 taps'), (3, 'attention-alibi-multikey', 'attention', 'ALiBi'),
    (4, 'attention-multikey', 'attention', 'RoPE'), (5, 'mal-multikey-more', 'mal', '12 taps'),
    (6, 'lmm-multikey-more', 'lmm', '12 taps'))
select '`' || kinds.mixer || '`, ' || trained as model,
       each(train_seed, correct) filter (where length = 1024) as "1K",
       coalesce(each(train_seed, correct) filter (where length = 2048), '-') as "2K",
       coalesce(each(train_seed, correct) filter (where length = 16384), '-') as "16K",
       coalesce(each(train_seed, correct) filter (where length = 65536), '-') as "64K"
from kinds join needle_multikey on checkpoint like '%' || part || '-s%'
where depth = 'all'
group by place
order by place;
