-- Passkey: the first logged step of each training seed at which 95 % of its training samples were right.
select model, each(seed, step) as "steps" from (
    select 0 as place, 'LMM' as model, 0 as seed, min(step) as step from training_lmm_passkey_s0 where exact_match >= 0.95
    union all
    select 0 as place, 'LMM' as model, 1 as seed, min(step) as step from training_lmm_passkey_s1 where exact_match >= 0.95
    union all
    select 0 as place, 'LMM' as model, 2 as seed, min(step) as step from training_lmm_passkey_s2 where exact_match >= 0.95
    union all
    select 1 as place, 'MAC' as model, 0 as seed, min(step) as step from training_mac_passkey_s0 where exact_match >= 0.95
    union all
    select 1 as place, 'MAC' as model, 1 as seed, min(step) as step from training_mac_passkey_s1 where exact_match >= 0.95
    union all
    select 1 as place, 'MAC' as model, 2 as seed, min(step) as step from training_mac_passkey_s2 where exact_match >= 0.95
    union all
    select 2 as place, 'MAG' as model, 0 as seed, min(step) as step from training_mag_passkey_s0 where exact_match >= 0.95
    union all
    select 2 as place, 'MAG' as model, 1 as seed, min(step) as step from training_mag_passkey_s1 where exact_match >= 0.95
    union all
    select 2 as place, 'MAG' as model, 2 as seed, min(step) as step from training_mag_passkey_s2 where exact_match >= 0.95
    union all
    select 3 as place, 'MAL' as model, 0 as seed, min(step) as step from training_mal_passkey_s0 where exact_match >= 0.95
    union all
    select 3 as place, 'MAL' as model, 1 as seed, min(step) as step from training_mal_passkey_s1 where exact_match >= 0.95
    union all
    select 3 as place, 'MAL' as model, 2 as seed, min(step) as step from training_mal_passkey_s2 where exact_match >= 0.95
    union all
    select 4 as place, 'RoPE' as model, 0 as seed, min(step) as step from training_attention_rope_passkey_s0 where exact_match >= 0.95
    union all
    select 4 as place, 'RoPE' as model, 1 as seed, min(step) as step from training_attention_rope_passkey_s1 where exact_match >= 0.95
    union all
    select 4 as place, 'RoPE' as model, 2 as seed, min(step) as step from training_attention_rope_passkey_s2 where exact_match >= 0.95
    union all
    select 5 as place, 'NoPE' as model, 0 as seed, min(step) as step from training_attention_nope_passkey_s0 where exact_match >= 0.95
    union all
    select 5 as place, 'NoPE' as model, 1 as seed, min(step) as step from training_attention_nope_passkey_s1 where exact_match >= 0.95
    union all
    select 6 as place, 'ALiBi' as model, 0 as seed, min(step) as step from training_attention_alibi_passkey_s0 where exact_match >= 0.95
    union all
    select 6 as place, 'ALiBi' as model, 1 as seed, min(step) as step from training_attention_alibi_passkey_s1 where exact_match >= 0.95
)
group by place, model
order by place;
