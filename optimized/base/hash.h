#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* FNV-1a, 64 bits: of bytes, going on from a hash. */
#define HASH_START 0xcbf29ce484222325u
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/* As sixteen hexadecimal digits. */
enum { HASH_TEXT = 17 };
static inline void hash_text(char *text, uint64_t hash) {
    snprintf(text, HASH_TEXT, "%016llx", (unsigned long long)hash);
}
