/* Longformer, BigBird and Linformer as published: layers that look both ways. */
#include "peer/peer.h"

static const Peer systems[] = {
    {"longformer", "longformer_layer", "tokens=T width=E heads=H window=window",
     "x=@x kind=@kind wq=query.weight' bq=query.bias wk=key.weight' bk=key.bias wv=value.weight' "
     "bv=value.bias "
     "wq_global=query_global.weight' bq_global=query_global.bias wk_global=key_global.weight' "
     "bk_global=key_global.bias wv_global=value_global.weight' bv_global=value_global.bias",
     "o=@out"},
    {"bigbird", "bigbird_layer", "tokens=T width=E heads=H block=block random=r",
     "x=@x mask=@mask wq=query.weight' bq=query.bias wk=key.weight' bk=key.bias wv=value.weight' "
     "bv=value.bias drawn=rand",
     "o=@out"},
    {"linformer", "linformer_layer",
     "tokens=T width=E heads=H head_width=D length=N slots=R one_kv_head=one_kv_head share_kv=share_kv",
     "x=@x wq=to_q.weight' wk=to_k.weight' wv=to_v.weight'? compress_k=proj_k compress_v=proj_v? "
     "wo=to_out.weight' bo=to_out.bias",
     "o=@out"},
    {0}};
const Peers peers_sparse = {systems};
