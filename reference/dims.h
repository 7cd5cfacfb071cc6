/* Dimensions that several equations share, under the names of the configuration; the published symbols stay
 * accepted. */
#pragma once
#include "call.h"

#define SIZE_MOST (1 << 20)
#define SIZE(name, symbol, meaning)                                                                          \
    { name, symbol, 1, SIZE_MOST, 0, NULL, meaning, NULL }
#define COUNT(name, symbol, meaning)                                                                         \
    { name, symbol, 0, SIZE_MOST, 0, NULL, meaning, NULL }
#define SWITCH(name, symbol, initial, meaning)                                                               \
    { name, symbol, 0, 1, initial, NULL, meaning, NULL }
#define CHOICE(name, symbol, values, meaning)                                                                \
    { name, symbol, 0, 1, 0, values, meaning, NULL }
#define DERIVED(name, symbol, function, meaning)                                                             \
    { name, symbol, 0, 0, 0, NULL, meaning, function }

#define TOKENS SIZE("tokens", "T", "rows of the sequence")
#define WIDTH SIZE("width", "D", "numbers in a row, all heads side by side")
#define HEADS SIZE("heads", "H", "heads")
#define HEAD_WIDTH SIZE("head_width", "dh", "numbers of one head")
#define INNER SIZE("n", "d", "numbers in a row")
#define CLASSES SIZE("vocab", "V", "classes: tokens and targets are below it")
