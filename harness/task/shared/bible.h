#pragma once
#include "task/shared/side.h"

#include <stddef.h>
#include <stdint.h>

/* The King James Version (1611, public domain) of Debian's package bible-kjv-text: the Old Testament to train on, the New
 * one to ask about, a verse a line, without their numbers (malloc, a 0 behind it). NULL with a message. */
char *bible_read(Side side, int64_t *length, char *message, size_t size);
