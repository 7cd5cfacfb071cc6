/* Attention by random features and by hashes. */
#include "peer/peer.h"

static const Peer systems[] = {
    {"performer", "favor", "tokens=T heads=H head_width=D random_features=M kernel=kernel causal=causal",
     "q=@q k=@k v=@v projection=projection", "o=@o"},
    {"performer_layer", "performer_layer",
     "tokens=T width=E heads=H head_width=D random_features=M kernel=kernel causal=causal",
     "x=@x projection=projection wq=to_q.weight' bq=to_q.bias? wk=to_k.weight' bk=to_k.bias? "
     "wv=to_v.weight' bv=to_v.bias? wo=to_out.weight' bo=to_out.bias?",
     "o=@out"},
    {"reformer", "lsh_attention",
     "tokens=T heads=H head_width=D rounds=R buckets=nb chunk=L causal=causal variant=variant",
     "qk=@qk v=@v rotations=rotations", "o=@o bucket=@buckets?"},
    {"reformer_layer", "reformer_layer",
     "tokens=T width=E heads=H head_width=D rounds=R buckets=nb chunk=L causal=causal",
     "x=@x rotations=rotations gain=layer_norm.weight bias=layer_norm.bias "
     "wqk=self_attention.query_key.weight' wv=self_attention.value.weight' wo=output.dense.weight' eps=#eps",
     "o=@out bucket=@buckets?"},
    {0}};
const Peers peers_features = {systems};
