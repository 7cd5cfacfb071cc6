"""transformers: the paths in plain PyTorch that a CPU takes."""

PACKAGE = "transformers"
WIDTH, TOKENS = 256, 2048


def sequence(module, call=None):
    import torch

    x = torch.randn(1, TOKENS, WIDTH, requires_grad=True)
    call = call or module
    return lambda: call(x), [x, *(p for p in module.parameters() if p.requires_grad)]


def mamba(inputs):
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    return sequence(MambaMixer(MambaConfig(hidden_size=WIDTH, state_size=16), layer_idx=0))


def mamba2(inputs):
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    config = Mamba2Config(hidden_size=WIDTH, expand=1, num_heads=4, head_dim=64, state_size=64, n_groups=1)
    return sequence(Mamba2Mixer(config, layer_idx=0))


def chunk_rule(inputs):
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    q, k, v = (inputs[n].requires_grad_() for n in "qkv")
    g = inputs["decay"].squeeze(-1).log().requires_grad_()
    beta = inputs["rate"].squeeze(-1).clone().requires_grad_()
    return lambda: torch_chunk_gated_delta_rule(q, k, v, g, beta)[0], [q, k, v, g, beta]


def longformer(inputs):
    import torch
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    config = LongformerConfig(hidden_size=WIDTH, num_attention_heads=4, attention_window=[512], num_hidden_layers=1)
    layer = LongformerSelfAttention(config, 0).eval()
    mask = torch.zeros(1, TOKENS)
    mask[:, :4] = 1
    is_global = mask > 0

    def call(x):
        return layer(
            x,
            attention_mask=mask,
            is_index_masked=mask < 0,
            is_index_global_attn=is_global,
            is_global_attn=True,
        )[0]

    return sequence(layer, call)


def bigbird(inputs):
    import torch
    from transformers import BigBirdConfig
    from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention, BigBirdModel

    config = BigBirdConfig(
        hidden_size=WIDTH, num_attention_heads=4, block_size=64, num_random_blocks=3, max_position_embeddings=TOKENS
    )
    layer = BigBirdBlockSparseAttention(config, seed=0).eval()
    masks = BigBirdModel.create_masks_for_block_sparse_attn(torch.ones(1, TOKENS), 64)
    block, band, from_mask, to_mask = masks

    def call(x):
        return layer(
            x,
            band_mask=band,
            from_mask=from_mask,
            to_mask=to_mask,
            from_blocked_mask=block,
            to_blocked_mask=block,
        )[0]

    return sequence(layer, call)


def cases():
    import transformers  # noqa: F401

    return [
        Case("transformers mamba", "mixer mamba", 1, TOKENS, "Mamba layer, 16 states", mamba),
        Case(
            "transformers mamba2",
            "mixer mamba2 key_width=64 value_width=64",
            1,
            TOKENS,
            "Mamba-2 layer, 4 heads of 64, 64 states",
            mamba2,
        ),
        Case(
            "transformers gated delta, chunks",
            "rule key decays=1 rates=1",
            1,
            TOKENS,
            "Qwen3-Next's torch_chunk_gated_delta_rule",
            chunk_rule,
        ),
        Case(
            "transformers longformer",
            "mixer longformer window=257 globals=4",
            1,
            TOKENS,
            "theirs looks 256 to both sides and has no output map; ours, causal, 256 back",
            longformer,
        ),
        Case(
            "transformers bigbird",
            "mixer bigbird block=64 random=3",
            1,
            TOKENS,
            "theirs sees blocks on both sides and has no output map; ours is causal",
            bigbird,
        ),
    ]
