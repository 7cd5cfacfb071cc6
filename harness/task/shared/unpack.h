#pragma once
#include <stdint.h>

/* What compress(1) packs: LZW in codes of 9 to 16 bits, least significant bit first. The text (malloc, a 0 behind it), at
 * most `most` bytes; NULL where the data are none of it, damaged or too large, or there is no memory. */
char *unpack(const unsigned char *bytes, int64_t size, int64_t most, int64_t *length);
