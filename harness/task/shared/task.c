#include "task/task.h"
#include "base/check.h"
#include "base/random.h"

#include "tasks.h"
#include <stdio.h>
#include <string.h>

const Task *task_at(int i) { return tasks[i]; }

const Task *task_find(const char *name) {
    for (int i = 0; tasks[i]; i++)
        if (!strcmp(tasks[i]->name, name)) return tasks[i];
    return 0;
}

int task_known(const char *key) {
    for (int i = 0; tasks[i]; i++)
        if (field_find(tasks[i]->fields, key)) return 1;
    return 0;
}

int task_open(OpenTask *open, const Task *task, const void *options, char *message, size_t size) {
    *open = (OpenTask){task, task->open(options, message, size)};
    return open->instance ? 0 : -1;
}

void task_close(OpenTask *open) {
    if (open->instance) open->task->close(open->instance);
    open->instance = 0;
}

void task_sample(const OpenTask *open, uint64_t seed, uint64_t index, int64_t length, double depth,
                 Sample *s) {
    *s = (Sample){.count = 0};
    open->task->sample(open->instance, seed, index, length, depth, s);
}

void task_read(const OpenTask *open, const Sample *s, int64_t from, int64_t count, const SampleRows *rows) {
    if (open->task->read)
        open->task->read(open->instance, s, from, count, rows);
    else
        sample_read(s, from, count, rows->tokens, rows->targets);
}

int64_t task_longest(const OpenTask *open) {
    return open->task->longest ? open->task->longest(open->instance) : INT64_MAX;
}

int task_fits(const OpenTask *open, int64_t length, char *message, size_t size) {
    const int64_t longest = task_longest(open);
    if (length <= longest) return 0;
    snprintf(message, size, "task %s: %lld tokens are wanted of a text that has %lld", open->task->name,
             (long long)length, (long long)longest);
    return -1;
}

TaskData task_data(const OpenTask *open) {
    TaskData data = {.prose = 0};
    if (open->task->data) open->task->data(open->instance, &data);
    return data;
}

static void sample_add(Sample *s, Piece piece) {
    if (piece.length <= 0) return;
    CHECK(s->count < SAMPLE_PIECES, "a sample of more than %d pieces", SAMPLE_PIECES);
    s->pieces[s->count++] = piece;
    s->length += piece.length;
}

void sample_text(Sample *s, const char *text) {
    const int64_t length = (int64_t)strlen(text);
    CHECK(s->stored + length <= SAMPLE_STORE, "%ld bytes of text in a sample", s->stored + length);
    memcpy(s->store + s->stored, text, (size_t)length);
    sample_add(s, (Piece){.length = length, .bytes = 0, .period = length, .offset = s->stored, .classes = 0});
    s->stored += (int)length;
}

void sample_repeat(Sample *s, const unsigned char *bytes, int64_t period, int64_t offset, int64_t length) {
    sample_add(s, (Piece){.length = length, .bytes = bytes, .period = period, .offset = offset % period});
}

void sample_filler(Sample *s, uint64_t seed, int32_t base, int32_t classes, int64_t length) {
    sample_add(s, (Piece){.length = length, .seed = seed, .base = base, .classes = classes});
}

void sample_answer(Sample *s, int64_t begin, int64_t length) {
    CHECK(s->answer_count < SAMPLE_ANSWERS, "a sample of more than %d answers", SAMPLE_ANSWERS);
    s->answers[s->answer_count++] = (Answer){begin, length};
}

int64_t sample_asked(const Sample *s) {
    int64_t sum = 0;
    for (int i = 0; i < s->answer_count; i++) sum += s->answers[i].length;
    return sum;
}

/* Text of a sample lies in its own store, so that a Sample can be copied. */
static int32_t piece_token(const Sample *s, const Piece *p, int64_t i) {
    if (p->bytes) return p->bytes[(p->offset + i) % p->period];
    if (p->classes == 0) return s->store[p->offset + i];
    Random random = {p->seed + (uint64_t)i * 0xd1342543de82ef95u};
    return p->base + (int32_t)random_below(&random, (uint64_t)p->classes);
}

static int32_t sample_token(const Sample *s, int64_t at) {
    for (int i = 0; i < s->count; i++) {
        if (at < s->pieces[i].length) return piece_token(s, &s->pieces[i], at);
        at -= s->pieces[i].length;
    }
    return 0;
}

void sample_read(const Sample *s, int64_t from, int64_t count, int32_t *tokens, int32_t *targets) {
    int64_t begin = 0, done = 0;
    memset(tokens, 0, (size_t)count * sizeof *tokens);
    for (int i = 0; i < s->count && done < count; begin += s->pieces[i++].length)
        for (int64_t at = from + done - begin; done < count && at < s->pieces[i].length; at++)
            tokens[done++] = piece_token(s, &s->pieces[i], at);
    for (int64_t t = 0; targets && t < count; t++) targets[t] = -1;
    for (int i = 0; targets && i < s->answer_count; i++) {
        const Answer *a = &s->answers[i];
        for (int64_t at = a->begin; at < a->begin + a->length; at++)
            if (at > from && at <= from + count) targets[at - 1 - from] = sample_token(s, at);
    }
}
