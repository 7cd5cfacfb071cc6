#pragma once
#include "task/shared/side.h"

#include <stddef.h>
#include <stdint.h>

/* The words of which keys "adjective-noun" are made. WORDS_WORDNET: of the package wordnet-base those of 3 to 20 small
 * letters that its tagged texts use, 4,748 adjectives and 9,199 nouns in alphabetical order, the 1st, 3rd, .. to train on, the
 * others to ask about. WORDS_LISTS: all of wordlists/adjectivelist.txt and nounlist.txt of the data folder, one a line. */
typedef enum { WORDS_WORDNET, WORDS_LISTS } WordsName;
#define WORDS_NAMES "wordnet wordlists"
#define WORDS_MEANING "words of keys: wordnet, or the wordlists of the data folder"

typedef struct {
    const char **adjectives, **nouns;
    int64_t adjective_count, noun_count;
    const char *origin;
    uint64_t hash; /* of all words in their order */
} Words;

/* 0, or -1 with a message. */
int words_open(Words *words, WordsName name, Side side, char *message, size_t size);
void words_close(Words *words);
