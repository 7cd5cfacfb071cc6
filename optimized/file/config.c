/* Configurations as JSON; apart from config.c so that models need no JSON library. */
#include "model/config.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int field_read(const ConfigField *f, const cJSON *item, void *at, char *message, size_t size) {
    if (f->kind == FIELD_TEXT) {
        if (!cJSON_IsString(item) || strlen(item->valuestring) >= f->size) {
            snprintf(message, size, "\"%s\" must be a string of fewer than %zu characters", f->key, f->size);
            return -1;
        }
        snprintf(at, f->size, "%s", item->valuestring);
        return 0;
    }
    const double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (!(value >= f->low && value <= f->high) || (f->kind == FIELD_INTEGER && value != floor(value))) {
        snprintf(message, size, "\"%s\" must be %s from %g to %g", f->key,
                 f->kind == FIELD_INTEGER ? "a whole number" : "a number", f->low, f->high);
        return -1;
    }
    config_set(f, at, value);
    return 0;
}

/* "preset": "neurips 170m", names in turn; other keys of the object then override. */
static int presets_read(const cJSON *item, Config *model, char *message, size_t size) {
    char names[64] = "", *rest = names;
    if (cJSON_IsString(item)) snprintf(names, sizeof names, "%s", item->valuestring);
    for (char *name; (name = strsep(&rest, " "));)
        if (config_preset(name, model, message, size)) return -1;
    return 0;
}

int config_from_json(const cJSON *object, Config *model, TrainConfig *train, char *message, size_t size) {
    const cJSON *item;
    if (!cJSON_IsObject(object)) {
        snprintf(message, size, "a JSON object is wanted");
        return -1;
    }
    cJSON_ArrayForEach(item, object) {
        if (strcmp(item->string, "preset")) continue;
        if (presets_read(item, model, message, size)) return -1;
    }
    cJSON_ArrayForEach(item, object) {
        const ConfigField *f;
        if (!strcmp(item->string, "preset")) continue;
        int i = 0;
        while ((f = config_field(i)) && strcmp(f->key, item->string)) i++;
        if (!f) {
            snprintf(message, size, "unknown key \"%s\" (titans train --help lists them)", item->string);
            return -1;
        }
        if (field_read(f, item, config_at(f, model, train), message, size)) return -1;
    }
    return 0;
}

int config_from_file(const char *path, Config *model, TrainConfig *train, char *message, size_t size) {
    char text[16384];
    FILE *file = fopen(path, "rb");
    if (!file) {
        snprintf(message, size, "cannot open %s: %m", path);
        return -1;
    }
    const size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    cJSON *object = cJSON_Parse(text);
    char reason[512] = "not valid JSON";
    const int status = object ? config_from_json(object, model, train, reason, sizeof reason) : -1;
    cJSON_Delete(object);
    if (status) snprintf(message, size, "%s: %s", path, reason);
    return status;
}

int config_assign(const char *assignment, Config *model, TrainConfig *train, char *message, size_t size) {
    const char *equals = strchr(assignment, '=');
    char key[64], *end;
    if (!equals || equals == assignment || equals - assignment >= (ptrdiff_t)sizeof key) {
        snprintf(message, size, "'%s': KEY=VALUE is wanted", assignment);
        return -1;
    }
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    const double number = strtod(equals + 1, &end);
    cJSON *object = cJSON_CreateObject();
    if (end != equals + 1 && !*end)
        cJSON_AddNumberToObject(object, key, number);
    else
        cJSON_AddStringToObject(object, key, equals + 1);
    const int status = config_from_json(object, model, train, message, size);
    cJSON_Delete(object);
    return status;
}

char *config_to_json(const Config *model, const TrainConfig *train) {
    cJSON *object = cJSON_CreateObject();
    const ConfigField *f;
    for (int i = 0; (f = config_field(i)); i++) {
        if (!(f->of_model ? (const void *)model : (const void *)train)) continue;
        const char *at = (f->of_model ? (const char *)model : (const char *)train) + f->offset;
        if (f->kind == FIELD_TEXT)
            cJSON_AddStringToObject(object, f->key, at);
        else
            cJSON_AddNumberToObject(object, f->key,
                                    f->kind == FIELD_INTEGER ? (double)*(const int64_t *)(const void *)at
                                                             : *(const double *)(const void *)at);
    }
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return text;
}
