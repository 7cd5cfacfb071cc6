/* Text from a byte-level checkpoint. The prompt is streamed through the state in constant memory, so it may
 * be a book. */
#include "command/command.h"
#include "terminal/interrupt.h"
#include "learn/trained.h"
#include "base/random.h"
#include "terminal/options.h"
#include "terminal/progress.h"
#include "base/portable.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, SEGMENT = 512 };

typedef struct {
    const char *file, *prompt, *prompt_file;
    int64_t tokens, top_k, seed, threads, echo;
    double temperature, top_p;
} GenerateOptions;

enum { OPTION_TOP_K = 256, OPTION_TOP_P, OPTION_ECHO };
static const struct argp_option options[] = {
    {"prompt", 'p', "TEXT", 0, "the prompt itself", 0},
    {"prompt-file", 'f', "FILE", 0, "the prompt's file; - (the default) is standard input", 0},
    {"tokens", 'n', "N", 0, "bytes to write (default 256); K and M suffixes", 0},
    {"temperature", 't', "T", 0, "0: always the likeliest byte (default 1)", 0},
    {"top-k", OPTION_TOP_K, "K", 0, "only the K likeliest bytes (default: all)", 0},
    {"top-p", OPTION_TOP_P, "P", 0, "only the likeliest bytes that make up P together (default 1)", 0},
    {"seed", 's', "S", 0, "seed of the choices (default 0); the same seed gives the same text everywhere", 0},
    {"echo", OPTION_ECHO, 0, 0, "write the prompt before the text", 0},
    {"threads", 'k', "K", 0, "threads", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    GenerateOptions *o = state->input;
    switch (key) {
    case 'p':
        o->prompt = arg;
        break;
    case 'f':
        o->prompt_file = arg;
        break;
    case 'n':
        o->tokens = option_integer("tokens", arg, 1, (int64_t)1 << 40);
        break;
    case 't':
        o->temperature = option_real("temperature", arg, 0.0, 100.0);
        break;
    case OPTION_TOP_K:
        o->top_k = option_integer("top-k", arg, 1, BYTES);
        break;
    case OPTION_TOP_P:
        o->top_p = option_real("top-p", arg, 1e-9, 1.0);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case OPTION_ECHO:
        o->echo = 1;
        break;
    case 'k':
        o->threads = option_integer("threads", arg, 1, 4096);
        break;
    case ARGP_KEY_ARG:
        if (o->file) argp_error(state, "more than one checkpoint: '%s'", arg);
        o->file = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file) argp_error(state, "which checkpoint?");
        if (o->prompt && o->prompt_file) argp_error(state, "--prompt or --prompt-file, not both");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

typedef struct {
    Trained t;
    titans_stream *stream;
    float logits[BYTES]; /* after the last byte read */
} Generator;

static int generator_read(Generator *g, const unsigned char *bytes, int64_t count, titans_error *error) {
    int32_t tokens[SEGMENT];
    for (int64_t i = 0; i < count; i++) tokens[i] = bytes[i];
    return titans_read(g->stream, tokens, count, g->logits, error) ? -1 : 0;
}

typedef struct {
    double weight;
    int byte;
} Choice;

static int likelier(const void *a, const void *b) {
    const Choice *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight) - (x->weight > y->weight) : x->byte - y->byte;
}

/* Temperature, then the K likeliest, then those that make up P of what is left. */
static int choose(const float *logits, const GenerateOptions *o, Random *random) {
    Choice c[BYTES];
    double total = 0.0, kept = 0.0;
    for (int i = 0; i < BYTES; i++) c[i] = (Choice){(double)logits[i], i};
    qsort(c, BYTES, sizeof *c, likelier);
    if (o->temperature <= 0.0) return c[0].byte;
    const double top = c[0].weight;
    for (int i = 0; i < o->top_k; i++)
        total += c[i].weight = portable_exp((c[i].weight - top) / o->temperature);
    int count = 0;
    while (count < o->top_k && kept < o->top_p * total) kept += c[count++].weight;
    double drawn = random_uniform(random) * kept;
    for (int i = 0; i < count; i++)
        if ((drawn -= c[i].weight) < 0.0) return c[i].byte;
    return c[count - 1].byte;
}

/* Streams the prompt; its bytes, or -1 with a message. */
static int64_t read_prompt(Generator *g, FILE *from, int echo, char *message, size_t size) {
    unsigned char bytes[SEGMENT];
    int64_t total = 0;
    size_t n;
    titans_error error;
    const double began = seconds_now();
    while ((n = fread(bytes, 1, SEGMENT, from)) > 0) {
        if (generator_read(g, bytes, (int64_t)n, &error))
            return snprintf(message, size, "%s", error.message), -1;
        if (echo) fwrite(bytes, 1, n, stdout);
        total += (int64_t)n;
        if (total % (1 << 20) == 0)
            fprintf(stderr, "prompt: %lld MiB read, %.0f bytes/s\n", (long long)(total >> 20),
                    (double)total / (seconds_now() - began));
    }
    if (ferror(from)) return snprintf(message, size, "cannot read the prompt: %m"), -1;
    if (!total) return snprintf(message, size, "the prompt is empty; one byte at least is needed"), -1;
    return total;
}

static int write_text(Generator *g, const GenerateOptions *o, char *message, size_t size) {
    Random random = random_stream((uint64_t)o->seed, 0, 0x67656e65);
    titans_error error;
    for (int64_t i = 0; i < o->tokens && !interrupt_requested(); i++) {
        const unsigned char byte = (unsigned char)choose(g->logits, o, &random);
        if (putchar(byte) == EOF || fflush(stdout)) return snprintf(message, size, "cannot write: %m"), -1;
        if (i + 1 < o->tokens && generator_read(g, &byte, 1, &error))
            return snprintf(message, size, "%s", error.message), -1;
    }
    putchar('\n');
    return 0;
}

/* Room for the prompt and what is written, where a mixer keeps every token; -1 with a message. */
static int64_t capacity_wanted(const Generator *g, FILE *from, const GenerateOptions *o, char *message,
                               size_t size) {
    const Mixer *mixer = g->t.model.mixer;
    int64_t bytes = 0;
    if (!mixer->uses_capacity) return 0;
    if (!fseek(from, 0, SEEK_END) && (bytes = ftell(from)) >= 0 && !fseek(from, 0, SEEK_SET))
        return bytes + o->tokens;
    snprintf(message, size, "mixer %s keeps every token: give the prompt as a file or with --prompt",
             mixer->name);
    return -1;
}

static int generate_from(Generator *g, FILE *from, const GenerateOptions *o, char *message, size_t size) {
    titans_error error;
    titans_stream_options options = {.capacity = capacity_wanted(g, from, o, message, size)};
    if (options.capacity < 0) return -1;
    g->stream = titans_stream_new(&g->t.library, &options, &error);
    if (!g->stream) return snprintf(message, size, "%s", error.message), -1;
    const int status =
        read_prompt(g, from, (int)o->echo, message, size) < 0 ? -1 : write_text(g, o, message, size);
    titans_stream_free(g->stream);
    return status;
}

static int generate(Generator *g, const GenerateOptions *o, char *message, size_t size) {
    const char *name = o->prompt_file ? o->prompt_file : "-";
    FILE *from = o->prompt           ? fmemopen((char *)(uintptr_t)o->prompt, strlen(o->prompt), "r")
                 : strcmp(name, "-") ? fopen(name, "rb")
                                     : stdin;
    if (!from)
        return snprintf(message, size, "cannot read the prompt%s%s: %m", o->prompt ? "" : " ",
                        o->prompt ? "" : name),
               -1;
    const int status = generate_from(g, from, o, message, size);
    if (from != stdin) fclose(from);
    return status;
}

static int run(int argc, char **argv) {
    const struct argp argp = {options,
                              parse,
                              "CHECKPOINT",
                              "Go on from a prompt with a byte-level checkpoint, in constant memory.",
                              0,
                              0,
                              0};
    GenerateOptions o = {.tokens = 256, .temperature = 1.0, .top_k = BYTES, .top_p = 1.0};
    char message[1024];
    static Generator g;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    option_threads(o.threads);
    int status = trained_open_bytes(&g.t, o.file, message, sizeof message);
    interrupt_catch();
    if (!status) {
        status = generate(&g, &o, message, sizeof message);
        trained_close(&g.t);
    }
    if (status) fprintf(stderr, "titans generate: %s\n", message);
    return status ? 1 : 0;
}

const Command command_generate = {"generate", "text from a byte-level checkpoint", run};
