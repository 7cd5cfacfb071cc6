/* Scans with a decay for every channel: Mamba, Longhorn; and Samba with its sliding window. */
#include "peer/peer.h"

/* Of transformers' MambaMixer, its names after `theirs`, ours after `ours`. */
#define MAMBA_WEIGHTS(ours, theirs)                                                                          \
    ours "wx=" theirs "in_proj.weight[0:D]' " ours "wz=" theirs "in_proj.weight[D:2*D]' " ours               \
         "conv=" theirs "conv1d.weight' " ours "b_conv=" theirs "conv1d.bias? " ours "w_select=" theirs      \
         "x_proj.weight' " ours "w_dt=" theirs "dt_proj.weight' " ours "b_dt=" theirs "dt_proj.bias? " ours  \
         "a_log=" theirs "A_log' " ours "skip=" theirs "D " ours "wo=" theirs "out_proj.weight' " ours       \
         "b_x=" theirs "in_proj.bias[0:D]? " ours "b_z=" theirs "in_proj.bias[D:2*D]? " ours "b_o=" theirs   \
         "out_proj.bias? "
#define MISTRAL_WEIGHTS(ours, theirs)                                                                        \
    ours "wq=" theirs "q_proj.weight' " ours "wk=" theirs "k_proj.weight' " ours "wv=" theirs                \
         "v_proj.weight' " ours "wo=" theirs "o_proj.weight' "
#define MLP_WEIGHTS(ours, theirs)                                                                            \
    ours "w1=" theirs "gate_proj.weight' " ours "w3=" theirs "up_proj.weight' " ours "w2=" theirs            \
         "down_proj.weight' "

#define SAMBA_MAMBA "x=@x mamba.gain=mamba.norm.weight " MAMBA_WEIGHTS("mamba.", "mamba.mixer.")
#define SAMBA_MLP "mlp.gain=norm.weight " MLP_WEIGHTS("mlp.", "mlp.")
#define SAMBA_ATTENTION                                                                                      \
    "attention.gain=attn.input_layernorm.weight " MISTRAL_WEIGHTS("attention.", "attn.self_attn.")
#define SAMBA_MLP2 "mlp2.gain=attn.post_attention_layernorm.weight " MLP_WEIGHTS("mlp2.", "attn.mlp.")
#define SAMBA_TENSORS SAMBA_MAMBA SAMBA_MLP SAMBA_ATTENTION SAMBA_MLP2 "rope_base=#theta eps=#eps"
#define MAMBA_TENSORS "x=@x " MAMBA_WEIGHTS("", "") "conv_state0=@conv_state0'? state0=@state0'?"
#define MISTRAL_TENSORS "x=@x " MISTRAL_WEIGHTS("", "") "rope_base=#theta"

static const Peer systems[] = {
    {"mamba", "selective_scan", "tokens=T channels=D state=N groups=G softplus=softplus gated=?z",
     "u=@u delta=@delta delta_bias=delta_bias? A=A' B=@B C=@C skip=D? z=@z? state0=@state0'?",
     "y=@out state=@state'"},
    {"longhorn", "longhorn_scan", "tokens=T channels=D state=N gated=?z",
     "u=@u delta=@delta delta_bias=delta_bias? k=@k q=@q skip=D? z=@z? state0=@state0'?",
     "y=@out state=@state'"},
    {"mamba_layer", "mamba_layer", "tokens=T width=E inner=D dt_rank=R state=N taps=K", MAMBA_TENSORS,
     "o=@out conv_state=@conv_state' state=@state'"},
    {"swa", "swa_layer", "tokens=T width=E heads=H key_heads=HK head_width=D window=W", MISTRAL_TENSORS,
     "o=@out"},
    {"samba", "samba_layer",
     "tokens=T width=E ffn=I heads=H key_heads=HK head_width=HD window=W inner=D dt_rank=R state=N taps=K",
     SAMBA_TENSORS, "o=@out"},
    {0}};
const Peers peers_scan = {systems};
