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
    {0}};
const Peers peers_delta = {systems};
