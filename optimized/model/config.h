#pragma once
#include <stddef.h>
#include <stdint.h>

struct cJSON;

/* What a model is and how it is trained; both are read from a JSON file and stored in every checkpoint. The
 * field table in config.c is the documentation of every key: name, range, default, meaning (printed by
 * `titans train --help`). */
typedef struct {
    char mixer[16];
    int64_t vocab, width, heads, layers, ffn;
    int64_t persistent, segment, window;
    char mask[16];
    int64_t taps, chunk, memory_layers, expansion, memory_residual, memory_norm;
    char activation[16], gate[16];
    int64_t gates_per_layer, gates_per_chunk, channelwise, forget, momentum;
    double theta_max, alpha_bias, theta_bias, eta_bias, attention_self, embedding_std, head_std;
} Config;

typedef struct {
    char task[16];
    int64_t seed, batch, steps, warmup, save_every;
    char curriculum[128]; /* "64:1200 128:400": sequence length : steps, scaled to `steps` */
    char haystack[256], from[256];
    double rate, final_rate, beta1, beta2, decay, clip, penalty, penalty_from, lm_weight;
} TrainConfig;

typedef enum { FIELD_TEXT, FIELD_INTEGER, FIELD_REAL } FieldKind;
typedef struct {
    const char *key, *meaning;
    FieldKind kind;
    int of_model; /* in Config; else in TrainConfig */
    size_t offset, size;
    double low, high, initial;
    const char *text; /* default of FIELD_TEXT */
} ConfigField;

/* The i-th key, NULL past the end; where it lies; and storing a number in it. */
const ConfigField *config_field(int i);
void *config_at(const ConfigField *field, Config *model, TrainConfig *train);
void config_set(const ConfigField *field, void *at, double value);

void config_defaults(Config *model, TrainConfig *train);

/* Sets the model's keys of a named profile or size ("arxiv", "neurips", "170m", ..). 0, or -1 with a message
 * that lists the names. */
int config_preset(const char *name, Config *model, char *message, size_t size);

/* Reads keys of either struct from a JSON object, leaving others alone. 0, or -1 with a message naming the
 * key. */
int config_from_json(const struct cJSON *object, Config *model, TrainConfig *train, char *message,
                     size_t size);
int config_from_file(const char *path, Config *model, TrainConfig *train, char *message, size_t size);

/* One assignment "key=value". */
int config_assign(const char *assignment, Config *model, TrainConfig *train, char *message, size_t size);

/* JSON text (malloc) of one of them, keys in table order; the other may be NULL. */
char *config_to_json(const Config *model, const TrainConfig *train);

/* Ranges and divisibility. 0, or -1 with a message. */
int config_validate(const Config *model, char *message, size_t size);

/* One line per key for --help. */
void config_describe(char *text, size_t size);

/* Widths of the memory network of one head and their total number of weights. */
int64_t config_memory_widths(const Config *config, int64_t width[5]);
