/* The files of a family of golden vectors: the numbers, and the JSON index that says what each case is and what its
 * failure means. */
#include "golden/golden.h"
#include "golden/cases.h"
#include "equation/oracle.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *names_json(const char *names) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < oracle_count(names); i++) {
        char name[64];
        oracle_name(names, i, name, sizeof name);
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
    }
    return list;
}

static cJSON *case_json(const GoldenCase *c, int id) {
    const Equation *e = oracle_find(&reference_double, c->equation);
    cJSON *test = cJSON_CreateObject(), *dims = cJSON_CreateObject();
    char tag[16], name[64];
    snprintf(tag, sizeof tag, "tc%04d", id);
    cJSON_AddStringToObject(test, "tcId", tag);
    cJSON_AddStringToObject(test, "equation", c->equation);
    cJSON_AddStringToObject(test, "source", e->source);
    cJSON_AddStringToObject(test, "comment", c->comment);
    cJSON_AddItemToObject(test, "flags", names_json(c->flag));
    for (int i = 0; i < oracle_count(e->dims); i++) {
        oracle_name(e->dims, i, name, sizeof name);
        cJSON_AddNumberToObject(dims, name, (double)c->dims[i]);
    }
    cJSON_AddItemToObject(test, "dims", dims);
    cJSON_AddItemToObject(test, "in", names_json(e->in));
    cJSON_AddItemToObject(test, "out", names_json(e->out));
    cJSON_AddStringToObject(test, "result", strcmp(c->flag, "Literal") ? "valid" : "acceptable");
    return test;
}

static cJSON *index_json(const char *family) {
    cJSON *index = cJSON_CreateObject(), *notes = cJSON_AddObjectToObject(index, "notes");
    cJSON_AddStringToObject(index, "format", GOLDEN_FORMAT);
    cJSON_AddNumberToObject(index, "version", GOLDEN_VERSION);
    cJSON_AddStringToObject(index, "family", family);
    cJSON_AddStringToObject(index, "licence", "CC0-1.0");
    cJSON_AddStringToObject(index, "tolerance",
                            "|x - reference| <= k u (gauge + |reference|) + smallest normal of the type; "
                            "u = 2^-53 F64, 2^-24 F32, 2^-11 F16, 2^-8 BF16");
    cJSON_AddNumberToObject(index, "k", GOLDEN_K);
    for (const GoldenCase *c = golden_cases; c->family; c++)
        if (!strcmp(c->family, family) && !cJSON_HasObjectItem(notes, c->flag))
            cJSON_AddStringToObject(notes, c->flag, golden_flag(c->flag)->bug);
    return index;
}

static int write_index(const char *path, cJSON *index, char *message, size_t size) {
    char temporary[2048], *text = cJSON_Print(index);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *f = fopen(temporary, "w");
    int failed = !f || !text || fprintf(f, "%s\n", text) < 0;
    if (f) failed |= fclose(f) != 0;
    free(text);
    if (!failed && !rename(temporary, path)) return 0;
    snprintf(message, size, "cannot write %s: %m", path);
    return -1;
}

static int write_family_index(const char *folder, const char *family, char *message, size_t size) {
    char path[1024];
    int id = 0;
    cJSON *index = index_json(family), *tests = cJSON_AddArrayToObject(index, "tests");
    for (const GoldenCase *c = golden_cases; c->family; c++)
        if (!strcmp(c->family, family)) cJSON_AddItemToArray(tests, case_json(c, ++id));
    snprintf(path, sizeof path, "%s/%s.json", folder, family);
    const int status = write_index(path, index, message, size);
    cJSON_Delete(index);
    return status;
}

int golden_write(const char *folder, const char *family, int64_t *cases, int64_t *gradients, char *message,
                 size_t size) {
    char path[1024], version[16];
    GoldenNumbers g = golden_numbers(family);
    *cases += g.cases;
    *gradients += g.gradients;
    snprintf(version, sizeof version, "%d", GOLDEN_VERSION);
    const SafeMetadata metadata[] = {{"format", GOLDEN_FORMAT}, {"version", version}, {"family", family}};
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, family);
    const int status = safetensors_write(path, g.list, g.count, metadata, 3, message, size);
    golden_numbers_free(&g);
    return status ? status : write_family_index(folder, family, message, size);
}
