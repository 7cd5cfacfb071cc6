/* Hides seven digits in a long text, reads it in constant memory and asks for them; goes back to a snapshot and asks
 * again; goes on from a file. Usage: passkey CHECKPOINT STATE-FILE (a model of `titans train --task passkey`). */
#include <stdio.h>
#include <stdlib.h>
#include <titans.h>

enum {
    KEY = 1,
    DIGIT = 4,
    WORD = 14,
    FILLER = 46,
    FILLERS = 128,
    DIGITS = 7,
    TOKENS = 4000,
    NEEDLE = 1234,
    VOCAB = 174
};

static void stop(const titans_error *error) {
    fprintf(stderr, "passkey: %s\n", error->message);
    exit(1);
}

/* The likeliest digits, one after the other. */
static void ask(titans_stream *stream, int *digits) {
    static float logits[VOCAB];
    titans_error error;
    const int32_t question[] = {KEY, WORD};
    int32_t next;
    if (titans_read(stream, question, 2, logits, &error)) stop(&error);
    for (int i = 0; i < DIGITS; i++) {
        next = 0;
        for (int32_t token = 1; token < VOCAB; token++)
            if (logits[token] > logits[next]) next = token;
        digits[i] = next - DIGIT;
        if (titans_read(stream, &next, 1, logits, &error)) stop(&error);
    }
}

static void show(const char *what, const int *digits) {
    printf("%-10s", what);
    for (int i = 0; i < DIGITS; i++) printf(" %d", digits[i]);
    printf("\n");
}

int main(int argc, char **argv) {
    static const int hidden[DIGITS] = {3, 1, 4, 1, 5, 9, 2};
    static int32_t text[TOKENS];
    int recalled[DIGITS];
    titans_error error;
    if (argc != 3) return fprintf(stderr, "Usage: passkey CHECKPOINT STATE-FILE\n"), 2;
    titans_model *model = titans_model_open(argv[1], NULL, &error);
    if (!model) stop(&error);
    if (titans_model_number(model, "vocab") != VOCAB)
        return fprintf(stderr, "passkey: no passkey model\n"), 1;
    const titans_stream_options options = {.capacity = TOKENS + 64};
    titans_stream *stream = titans_stream_new(model, &options, &error);
    if (!stream) stop(&error);

    uint32_t seed = 1;
    for (int i = 0; i < TOKENS; i++)
        text[i] = FILLER + (int32_t)((seed = seed * 1664525u + 1013904223u) >> 25) % FILLERS;
    text[NEEDLE] = KEY, text[NEEDLE + 1] = WORD;
    for (int i = 0; i < DIGITS; i++) text[NEEDLE + 2 + i] = DIGIT + hidden[i];
    if (titans_read(stream, text, TOKENS, NULL, &error)) stop(&error);
    if (titans_stream_save(stream, argv[2], NULL, 0, &error)) stop(&error);
    titans_snapshot *before = titans_stream_snapshot(stream, &error);
    if (!before) stop(&error);

    show("hidden", hidden);
    ask(stream, recalled);
    show("recalled", recalled);
    if (titans_stream_rollback(stream, before, &error)) stop(&error);
    ask(stream, recalled);
    show("again", recalled);
    titans_stream *other = titans_stream_resume(model, argv[2], NULL, &error);
    if (!other) stop(&error);
    ask(other, recalled);
    show("from file", recalled);
    titans_snapshot_free(before);
    titans_stream_free(other);
    titans_stream_free(stream);
    titans_model_close(model);
    return 0;
}
