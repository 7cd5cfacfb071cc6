/* One case of a published system against ours. */
#pragma once
#include "peer/peer.h"
#include "peer/shared/vectors.h"

typedef enum { JUDGE_PASS, JUDGE_FAIL, JUDGE_SKIP } Judgement;

enum { JUDGE_TEXT = 512 };

/* impl: "reference" (in double) or an instruction set. text: of a PASS the largest difference relative to what is
 * allowed, else tensor, element and both numbers, or the reason. */
Judgement judge_case(const Peer *peer, const VectorCase *c, const char *impl, char text[JUDGE_TEXT]);
