#pragma once
#include "base/field.h"

struct Mixer;

/* What a model is. The keys that every model has are fields of the struct, those of the mixer lie in `options`, as
 * the mixer's own table describes: a key that the mixer does not have does not exist. */
enum { CONFIG_OPTIONS = 512 }; /* bytes that a mixer's options may take */
typedef struct {
    const struct Mixer *mixer;
    int64_t vocab, features, width, heads, layers, ffn, precision;
    double embedding_std, head_std;
    _Alignas(16) unsigned char options[CONFIG_OPTIONS];
} Config;

#define DEFAULT_MIXER "lmm"

/* Everything at its default, of the named mixer. 0, or -1 with a message that lists the mixers. */
int config_defaults(Config *config, const char *mixer, char *message, size_t size);

/* The tables of a configuration, its own and the mixer's: 2 sets. */
void config_sets(Config *config, FieldSet sets[2]);

/* Any key but "mixer" by name. Setting: 0, or -1 with a message; a key that the model does not have is refused with
 * the list of those it has. */
int config_set(Config *config, const char *key, const char *value, char *message, size_t size);
/* The same for a model that is trained: only keys that change no weight (Field.asked). The caller settles. */
int config_ask(Config *config, const char *key, const char *value, char *message, size_t size);
int config_has(const Config *config, const char *key);
double config_number(const Config *config, const char *key); /* NAN: no such key */

/* Some mixer has the key, if not this one. */
int config_known(const char *key);

/* Sets the keys of a named profile or size ("arxiv", "neurips", "170m", ..) as far as the model has them. 0, or -1
 * with a message that lists the names. */
int config_preset(const char *name, Config *config, char *message, size_t size);

/* Settles what defaults leave open, and checks what tables cannot. 0, or -1 with a message. */
int config_settle(Config *config, char *message, size_t size);

/* One line per key for --help: the model's, then those of every mixer. */
void config_describe(char *text, size_t size);
