/* Linear recurrences: the general delta rule and the layers around it. */
#include "peer/peer.h"

#define SIZES "tokens=T heads=H key_heads=H key_width=K value_width=V "

static const Peer systems[] = {
    {"retention", "retention", "tokens=T heads=H key_width=K value_width=V",
     "q=@q k=@k v=@v gamma=gamma state0=@state0?", "o=@o state=@state"},
    {"gla", "general_delta_rule", SIZES "decay=2", "q=@q k=@k v=@v g=@g beta=1 a=0 b=0 state0=@state0?",
     "o=@o state=@state"},
    {"delta_net", "general_delta_rule", SIZES "removal=1 rate=axes(beta)-2",
     "q=@q k=@k v=@v g=0 beta=@beta a=0 b=0 state0=@state0?", "o=@o state=@state"},
    {"gated_delta_net", "general_delta_rule",
     "tokens=T heads=H key_heads=HK key_width=K value_width=V removal=1 decay=1 rate=1 normalise=l2norm",
     "q=@q k=@k v=@v g=@g beta=@beta a=0 b=0 state0=@state0?", "o=@o state=@state"},
    {"kda", "general_delta_rule",
     "tokens=T heads=H key_heads=HK key_width=K value_width=V removal=1 decay=2 rate=1",
     "q=@q k=@k v=@v g=@g beta=@beta a=0 b=0 state0=@state0?", "o=@o state=@state"},
    {"rwkv7", "general_delta_rule", SIZES "removal=2 decay=2 scaled=0",
     "q=@r k=@k v=@v g=@logw beta=1 a=@a b=@b state0=@state0?", "o=@o state=@state"},
    {"mamba2", "state_space_dual",
     "tokens=T heads=H value_width=P key_heads=G state_width=N softplus=softplus",
     "x=@x dt=@dt A=A B=@B C=@C D=D? dt_bias=dt_bias? dt_min=#dt_min dt_max=#dt_max state0=@state0?",
     "y=@y state=@state"},
    {"momentum_delta_rule", "momentum_delta_rule", "tokens=T heads=H key_width=K value_width=V",
     "q=@q k=@k p=@p v=@v log_alpha=@log_alpha log_mu=@log_mu beta=@beta eta=@eta state0=@S0? momentum0=@M0?",
     "o=@o state=@state momentum=@momentum"},
    {"delta_net_layer", "mixer_delta_net",
     "tokens=T width=E heads=H key_width=K value_width=V taps=axis(q_conv1d.weight,2) output_gate=gate",
     "x=@x wq=q_proj.weight' wk=k_proj.weight' wv=v_proj.weight' conv_q=q_conv1d.weight' "
     "conv_k=k_conv1d.weight' "
     "conv_v=v_conv1d.weight' wb=b_proj.weight' wz=g_proj.weight'? gain=o_norm.weight wo=o_proj.weight' "
     "eps=#eps",
     "o=@out"},
    {"gla_layer", "mixer_gla",
     "tokens=T width=E heads=H key_width=K value_width=V taps=axis(q_conv1d.weight,2) "
     "gate_rank=axis(gk_proj.0.weight,0)",
     "x=@x wq=q_proj.weight' wk=k_proj.weight' wv=v_proj.weight' conv_q=q_conv1d.weight'? "
     "conv_k=k_conv1d.weight'? "
     "conv_v=v_conv1d.weight'? wg1=gk_proj.0.weight' wg2=gk_proj.1.weight' bg=gk_proj.1.bias "
     "wz=g_proj.weight' "
     "gain=g_norm_swish_gate.weight wo=o_proj.weight' eps=#eps",
     "o=@out"},
    {"gated_delta_net_layer", "gated_delta_net_layer",
     "tokens=T width=E heads=H key_heads=HK key_width=K value_width=V taps=KC",
     "x=@x wq=in_proj_qkvz.weight[HK;0:K;2*K+2*H/HK*V]' wk=in_proj_qkvz.weight[HK;K:2*K;2*K+2*H/HK*V]' "
     "wv=in_proj_qkvz.weight[HK;2*K:2*K+H/HK*V;2*K+2*H/HK*V]' "
     "wz=in_proj_qkvz.weight[HK;2*K+H/HK*V:2*K+2*H/HK*V;2*K+2*H/HK*V]' "
     "wb=in_proj_ba.weight[HK;0:H/HK;2*H/HK]' wa=in_proj_ba.weight[HK;H/HK:2*H/HK;2*H/HK]' "
     "conv_q=conv1d.weight[0:HK*K]' conv_k=conv1d.weight[HK*K:2*HK*K]' "
     "conv_v=conv1d.weight[2*HK*K:2*HK*K+H*V]' "
     "a_log=A_log dt_bias=dt_bias gain=norm.weight wo=out_proj.weight' eps=#eps "
     "tail_q=@conv_state0[0:HK*K]'? tail_k=@conv_state0[HK*K:2*HK*K]'? "
     "tail_v=@conv_state0[2*HK*K:2*HK*K+H*V]'? state0=@state0?",
     "o=@out state=@state next_q=@conv_state[0:HK*K]' next_k=@conv_state[HK*K:2*HK*K]' "
     "next_v=@conv_state[2*HK*K:2*HK*K+H*V]'"},
    {"kda_layer", "kda_layer",
     "tokens=T width=E heads=H key_width=K value_width=K taps=KC gate_rank=axis(g_a_proj.weight,0)",
     "x=@x wq=q_proj.weight' wk=k_proj.weight' wv=v_proj.weight' conv_q=conv1d.weight[0:H*K]' "
     "conv_k=conv1d.weight[H*K:2*H*K]' conv_v=conv1d.weight[2*H*K:3*H*K]' wf1=forget_gate.f_a_proj.weight' "
     "wf2=forget_gate.f_b_proj.weight' a_log=forget_gate.A_log dt_bias=forget_gate.dt_bias wb=b_proj.weight' "
     "wz1=g_a_proj.weight' wz2=g_b_proj.weight' gain=o_norm.weight wo=o_proj.weight' eps=#eps "
     "tail_q=@conv_state0[0:H*K]'? tail_k=@conv_state0[H*K:2*H*K]'? tail_v=@conv_state0[2*H*K:3*H*K]'? "
     "state0=@state0?",
     "o=@out state=@state next_q=@conv_state[0:H*K]' next_k=@conv_state[H*K:2*H*K]' "
     "next_v=@conv_state[2*H*K:3*H*K]'"},
    {"retnet_fla", "mixer_retnet", "tokens=T width=E heads=H key_width=K value_width=V",
     "x=@x wq=q_proj.weight' wk=k_proj.weight' wv=v_proj.weight' wz=g_proj.weight' "
     "gain=g_norm_swish_gate.weight "
     "wo=o_proj.weight' eps=#eps",
     "o=@out"},
    {"retnet_torchscale", "retnet_torchscale", "tokens=T width=E heads=H key_width=K value_width=V",
     "x=@x wq=q_proj.weight' wk=k_proj.weight' wv=v_proj.weight' wz=g_proj.weight' wo=out_proj.weight' "
     "eps=#eps",
     "o=@out"},
    {"retnet_yar", "retnet_yar", "tokens=T width=E heads=H key_width=K value_width=V start=start",
     "x=@x wq=q_proj.weight' wk=k_proj.weight' wv=v_proj.weight' wz=g_proj.weight' wo=out_proj.weight' "
     "bq=q_proj.bias "
     "bk=k_proj.bias bv=v_proj.bias bz=g_proj.bias bo=out_proj.bias eps=#eps state0=@state0?",
     "o=@out state=@state"},
    {"mamba2_layer", "mamba2_layer",
     "tokens=T width=E heads=H key_heads=G key_width=N value_width=P taps=K bias=?in_proj.bias",
     "x=@x wz=in_proj.weight[0:H*P]' wx=in_proj.weight[H*P:2*H*P]' wb=in_proj.weight[2*H*P:2*H*P+G*N]' "
     "wc=in_proj.weight[2*H*P+G*N:2*H*P+2*G*N]' wdt=in_proj.weight[2*H*P+2*G*N:2*H*P+2*G*N+H]' "
     "b_z=in_proj.bias[0:H*P]? b_x=in_proj.bias[H*P:2*H*P]? b_b=in_proj.bias[2*H*P:2*H*P+G*N]? "
     "b_c=in_proj.bias[2*H*P+G*N:2*H*P+2*G*N]? b_dt=in_proj.bias[2*H*P+2*G*N:2*H*P+2*G*N+H]? "
     "conv_x=conv1d.weight[0:H*P]' conv_b=conv1d.weight[H*P:H*P+G*N]' "
     "conv_c=conv1d.weight[H*P+G*N:H*P+2*G*N]' "
     "bias_x=conv1d.bias[0:H*P]? bias_b=conv1d.bias[H*P:H*P+G*N]? bias_c=conv1d.bias[H*P+G*N:H*P+2*G*N]? "
     "a_log=A_log dt_bias=dt_bias skip=D gain=norm.weight wo=out_proj.weight' b_o=out_proj.bias? eps=#eps "
     "dt_min=#dt_min dt_max=#dt_max tail_x=@conv_state0[0:H*P]'? tail_b=@conv_state0[H*P:H*P+G*N]'? "
     "tail_c=@conv_state0[H*P+G*N:H*P+2*G*N]'? state0=@state0?",
     "o=@out state=@state next_x=@conv_state[0:H*P]' next_b=@conv_state[H*P:H*P+G*N]' "
     "next_c=@conv_state[H*P+G*N:H*P+2*G*N]'"},
    {"rwkv7_layer", "rwkv7_layer",
     "tokens=T width=C heads=H rank_w=axis(w1,1) rank_a=axis(a1,1) rank_g=axis(g1,1) rank_v=axis(v1,1) "
     "layer=layer",
     "x=@x shift_r=x_r shift_w=x_w shift_k=x_k shift_v=x_v shift_a=x_a shift_g=x_g wr=R_ wk=K_ wv=V_ w0=w0 "
     "w1=w1 "
     "w2=w2 a0=a0 a1=a1 a2=a2 g1=g1 g2=g2 k_k=k_k k_a=k_a r_k=r_k ln_w=ln_w ln_b=ln_b wo=O_ eps=0.00064 "
     "v0=v0? v1=v1? "
     "v2=v2? v_first=@v_first? before=@x_prev? state0=@state0?",
     "o=@out state=@state v_first_next=@v_first"},
    {0}};
const Peers peers_delta = {systems};
