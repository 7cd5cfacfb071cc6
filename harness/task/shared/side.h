#pragma once

/* Of prose and of words one part is trained on and the other is asked about; they have nothing in common. */
typedef enum { SIDE_TRAIN, SIDE_TEST } Side;
#define SIDES "train test"
#define SIDE_MEANING "part of the prose and the words: train, or test, which evaluation asks for"
