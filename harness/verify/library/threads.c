/* Two threads read two streams of one model at the same time: each has the bits that it has alone. Run under
 * ThreadSanitizer by library.sh. Usage: threads CHECKPOINT.. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <titans.h>

enum { TOKENS = 96, CALL = 32 };

typedef struct {
    const titans_model *model;
    uint32_t seed;
    float *logits;
    int failed;
} Reader;

static void *reader_run(void *context) {
    Reader *r = context;
    titans_error error;
    const titans_stream_options options = {.capacity = TOKENS};
    const uint32_t vocab = (uint32_t)titans_model_number(r->model, "vocab");
    titans_stream *stream = titans_stream_new(r->model, &options, &error);
    uint32_t state = r->seed;
    r->failed = !stream;
    for (int from = 0; !r->failed && from < TOKENS; from += CALL) {
        int32_t tokens[CALL];
        for (int i = 0; i < CALL; i++)
            tokens[i] = (int32_t)(((state = state * 1664525u + 1013904223u) >> 8) % vocab);
        r->failed = titans_read(stream, tokens, CALL, r->logits, &error) != TITANS_OK;
    }
    if (r->failed) fprintf(stderr, "threads: %s\n", error.message);
    titans_stream_free(stream);
    return 0;
}

static int check(const char *path) {
    titans_error error;
    titans_model *model = titans_model_open(path, 0, &error);
    if (!model) return fprintf(stderr, "threads: %s\n", error.message), 1;
    const size_t vocab = (size_t)titans_model_number(model, "vocab");
    Reader alone[2], beside[2];
    pthread_t thread[2];
    int failed = 0;
    for (uint32_t i = 0; i < 2; i++) {
        alone[i] = (Reader){model, i + 1, calloc(vocab, sizeof(float)), 0};
        beside[i] = (Reader){model, i + 1, calloc(vocab, sizeof(float)), 0};
    }
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], 0, reader_run, &beside[i]);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], 0);
    for (int i = 0; i < 2; i++) {
        reader_run(&alone[i]);
        failed |= alone[i].failed || beside[i].failed ||
                  memcmp(alone[i].logits, beside[i].logits, vocab * sizeof(float));
    }
    for (int i = 0; i < 2; i++) free(alone[i].logits), free(beside[i].logits);
    titans_model_close(model);
    if (failed) fprintf(stderr, "threads: %s: two threads do not give what each gives alone\n", path);
    return failed;
}

int main(int argc, char **argv) {
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) failed |= check(argv[i]);
    return failed;
}
