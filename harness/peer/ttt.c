/* Test-time training: fla's form, whose rate is one factor of the reading token. A state of a ragged sequence has no bias
 * there (the package's is wrong). */
#include "peer/peer.h"

static const Peer systems[] = {
    {"ttt_linear", "ttt_linear_chunk", "tokens=T heads=H head_width=D mini_batch=M residual=1",
     "W=@state0? b=@bias0? q=@q k=@k v=@v reader=@eta rate=1 ln_gain=ln_w ln_bias=ln_b scale=#scale eps=#eps",
     "o=@o W_end=@state? b_end=@bias?"},
    {0}};
const Peers peers_ttt = {systems};
