/* Systems that read a sequence segment by segment and carry memory, and memory tokens in front of it. */
#include "peer/peer.h"

#define ATTENTION "layers.*.dec_attn."
#define FFN "layers.*.pos_ff."

static const Peer systems[] = {
    {"transformer_xl", "transformer_xl_layer",
     "tokens=T width=E heads=H head_width=D ffn=I layers=n_layer memory=mem_len given=m0 cuts=count(cuts) "
     "same_length=same_length pre_norm=pre_lnorm",
     "x=@x ends=#cuts mems=@mems.*? wq=" ATTENTION "qkv_net.weight[0:H*D]' wk=" ATTENTION
     "qkv_net.weight[H*D:2*H*D]' wv=" ATTENTION "qkv_net.weight[2*H*D:3*H*D]' wr=" ATTENTION
     "r_net.weight' u=" ATTENTION "r_w_bias v_b=" ATTENTION "r_r_bias wo=" ATTENTION
     "o_net.weight' gain=" ATTENTION "layer_norm.weight bias=" ATTENTION "layer_norm.bias w1=" FFN
     "CoreNet.0.weight' b1=" FFN "CoreNet.0.bias w2=" FFN "CoreNet.3.weight' b2=" FFN
     "CoreNet.3.bias ffn_gain=" FFN "layer_norm.weight ffn_bias=" FFN
     "layer_norm.bias eps=#eps clamp=#clamp_len",
     "y=@y new_mems=@mems.*"},
    {"memory_transformer", "memory_transformer_layer",
     "tokens=T width=E heads=H head_width=D persistent=M causal=causal "
     "ffn=axis(attn_layers.layers.1.1.ff.0.0.bias,0)",
     "x=@x persistent=memory_tokens gain=attn_layers.layers.0.0.0.gamma+1 "
     "wq=attn_layers.layers.0.1.to_q.weight' wk=attn_layers.layers.0.1.to_k.weight' "
     "wv=attn_layers.layers.0.1.to_v.weight' wo=attn_layers.layers.0.1.to_out.weight' "
     "ffn_gain=attn_layers.layers.1.0.0.gamma+1 w1=attn_layers.layers.1.1.ff.0.0.weight' "
     "b1=attn_layers.layers.1.1.ff.0.0.bias w2=attn_layers.layers.1.1.ff.2.weight' "
     "b2=attn_layers.layers.1.1.ff.2.bias final_gain=attn_layers.final_norm.gamma+1 eps=#eps",
     "o=@out memory=@memory"},
    {"rmt", "rmt_layer",
     "tokens=T width=E heads=H head_width=D vocab=V memory=M segment=L "
     "ffn=axis(layers.0.1.branch.4.weight,1) "
     "rotary=rotary add_write=add_write stop_grad=stop_grad",
     "tokens=@tokens memories=@memories? read=read_memory_emb write=memory_tokens embedding=token_emb.weight "
     "positions=pos_emb.weight? null_k=layers.0.0.branch.null_kv[0:1] null_v=layers.0.0.branch.null_kv[1:2] "
     "gain=layers.0.0.branch.norm.weight wq=layers.0.0.branch.to_q.weight' "
     "wk=layers.0.0.branch.to_kv.weight[0:H*D]' wv=layers.0.0.branch.to_kv.weight[H*D:2*H*D]' "
     "wo=layers.0.0.branch.to_out.weight' ffn_gain=layers.0.1.branch.0.weight "
     "w_u=layers.0.1.branch.1.weight[0:axis(layers.0.1.branch.4.weight,1)]' "
     "w_g=layers.0.1.branch.1.weight[axis(layers.0.1.branch.4.weight,1):2*axis(layers.0.1.branch.4.weight,1)]"
     "' "
     "w2=layers.0.1.branch.4.weight' final_gain=norm.weight head=to_logits.weight' head_bias=to_logits.bias "
     "eps=#eps",
     "logits=@logits new_memories=@memories"},
    {0}};
const Peers peers_segments = {systems};
