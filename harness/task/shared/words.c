#include "task/shared/words.h"
#include "base/hash.h"
#include "task/shared/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE "/usr/share/wordnet"

static const char *const letters = "abcdefghijklmnopqrstuvwxyz";

static int is_blank(const char *word) { return !word[strspn(word, " \t")]; }

/* Whether a line of index.adj or index.noun is a word for keys; it then ends behind the word. The line has: word, part of
 * speech, senses, pointers, that many symbols, senses again, senses that tagged texts use, .. */
static int wordnet_word(char *line) {
    enum { SHORT = 3, LONG = 20, BEFORE = 4, MOST_POINTERS = 1000 };
    char *rest = line, *field;
    const size_t n = strspn(line, letters);
    long skip = BEFORE + 1;
    if (n < SHORT || n > LONG || line[n] != ' ') return 0;
    for (int i = 0; i <= skip && (field = strsep(&rest, " ")); i++) {
        const long number = i == BEFORE - 1 || i == skip ? strtol(field, 0, 10) : 0;
        if (number < 0 || (i < BEFORE && number > MOST_POINTERS)) return 0;
        if (i == BEFORE - 1) skip += number;
        if (i == skip) return number > 0;
    }
    return 0;
}

/* The words and, behind them in one block, the text they lie in. wordnet: which of them are taken, else all. */
static const char **words_split(const char *text, int64_t length, int wordnet, Side side, int64_t *count) {
    const size_t slots = ((size_t)length / 2 + 2) * sizeof(char *);
    const char **words = calloc(1, slots + (size_t)length + 1);
    int64_t found = 0;
    *count = 0;
    if (!words) return 0;
    char *rest = memcpy((char *)words + slots, text, (size_t)length);
    for (char *word; (word = strtok_r(rest, "\r\n", &rest));)
        if (wordnet ? wordnet_word(word) && found++ % 2 == (side == SIDE_TEST) : !is_blank(word))
            words[(*count)++] = word;
    return words;
}

typedef struct {
    const char *list, *index;
} WordsFile;

static char *words_text(const WordsFile *file, WordsName name, int64_t *length, char *message, size_t size) {
    if (name == WORDS_WORDNET) return data_package(file->index, PLACE, "wordnet-base", length, message, size);
    char *text = data_find(file->list, length, message, size);
    if (!text && !message[0])
        snprintf(message, size, "%s/%s: no such file; the words `wordlists` are two lists of $TITANS_DATA",
                 data_folder(), file->list);
    return text;
}

static const char **words_read(const WordsFile *file, WordsName name, Side side, int64_t *count,
                               uint64_t *hash, char *message, size_t size) {
    int64_t length = 0;
    char *text = words_text(file, name, &length, message, size);
    if (!text) return 0;
    const int wordnet = name == WORDS_WORDNET, binary = memchr(text, 0, (size_t)length) != 0;
    const char **words = binary ? 0 : words_split(text, length, wordnet, side, count);
    free(text);
    if (words && *count > 0) {
        for (int64_t i = 0; i < *count; i++) *hash = hash_bytes(*hash, words[i], strlen(words[i]) + 1);
        return words;
    }
    snprintf(message, size, "%s/%s: %s", wordnet ? data_packages(PLACE) : data_folder(),
             wordnet ? file->index : file->list,
             words    ? wordnet ? "damaged, or not that of the package wordnet-base"
                                : "holds no words, one a line are wanted"
             : binary ? "is no text: it holds the character 0"
                      : "no memory for its words");
    free(words);
    return 0;
}

int words_open(Words *w, WordsName name, Side side, char *message, size_t size) {
    static const WordsFile adjectives = {"wordlists/adjectivelist.txt", "index.adj"},
                           nouns = {"wordlists/nounlist.txt", "index.noun"};
    *w = (Words){.hash = HASH_START};
    w->origin = name == WORDS_LISTS ? "wordlists, all"
                : side == SIDE_TEST ? "wordnet, words 2, 4, .."
                                    : "wordnet, words 1, 3, ..";
    w->adjectives = words_read(&adjectives, name, side, &w->adjective_count, &w->hash, message, size);
    if (w->adjectives) w->nouns = words_read(&nouns, name, side, &w->noun_count, &w->hash, message, size);
    if (w->nouns) return 0;
    words_close(w);
    return -1;
}

void words_close(Words *w) {
    free(w->adjectives);
    free(w->nouns);
    *w = (Words){.hash = 0};
}
