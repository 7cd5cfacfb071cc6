#pragma once
#include "model/config.h"

struct cJSON;

/* Settings as JSON: {"mixer": "mac", "preset": "arxiv", "chunk": 16, ..}. */

/* The object in a file of any size; release with cJSON_Delete. NULL with a message. */
struct cJSON *settings_open(const char *path, char *message, size_t size);

/* The same from text. NULL with a message. */
struct cJSON *settings_parse(const char *text, char *message, size_t size);

/* The text of an item, from JSON or from an assignment; NULL: it is none. */
const char *settings_text(const struct cJSON *item);

/* One assignment "key=value" put over an object. 0, or -1 with a message. */
int settings_assign(struct cJSON *object, const char *assignment, char *message, size_t size);

/* A configuration from the defaults of the object's mixer, its presets, then its keys. others: tables of the caller's
 * own keys in the same object, read as well. shared: the object is for several mixers (or of an older checkpoint,
 * which had the keys of all), so that keys which only another mixer or `foreign` knows are passed over. 0, or -1 with
 * a message. */
typedef struct {
    const FieldSet *others;
    int count, shared;
    int (*foreign)(const char *key); /* or NULL */
} SettingsSource;
int settings_read(const struct cJSON *object, Config *config, const SettingsSource *source, char *message,
                  size_t size);

/* JSON text (malloc) of the sets, keys in the order of the tables; name, value: a text that comes first, or NULL. */
char *settings_write(const FieldSet *sets, int count, const char *name, const char *value);
char *settings_of_model(const Config *config);

/* What two such texts differ in: 1 with the key and both values, 0 when they say the same. */
int settings_differ(const char *theirs, const char *ours, char *difference, size_t size);
