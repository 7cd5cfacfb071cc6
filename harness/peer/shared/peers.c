#include "peer/peer.h"

#include "peers.h"

const Peer *peer_at(int i) {
    for (int file = 0; peers[file]; file++)
        for (const Peer *p = peers[file]->list; p->system; p++)
            if (i-- == 0) return p;
    return 0;
}
