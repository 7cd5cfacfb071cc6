/* The files of a family of golden vectors: the numbers, and the JSON index that says what each case is and what its
 * failure means. */
#include "golden/golden.h"
#include "file/output.h"
#include "golden/cases.h"
#include "equation/published.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *names_json(const Argument *list) {
    cJSON *names = cJSON_CreateArray();
    for (; list->name; list++)
        cJSON_AddItemToArray(names, cJSON_CreateString(list->symbol ? list->symbol : list->name));
    return names;
}

static cJSON *dims_json(const EquationCase *c, const Dims *d) {
    cJSON *object = cJSON_CreateObject();
    char name[64];
    int64_t value;
    for (int i = 0; published_dim(d, c->published, i, name, sizeof name, &value); i++)
        cJSON_AddNumberToObject(object, name, (double)value);
    return object;
}

static cJSON *case_json(const EquationCase *c, int id) {
    const Dims d = case_dims(c);
    cJSON *test = cJSON_CreateObject(), *flags = cJSON_CreateArray();
    char tag[16];
    snprintf(tag, sizeof tag, "tc%04d", id);
    cJSON_AddStringToObject(test, "tcId", tag);
    cJSON_AddStringToObject(test, "equation", c->equation);
    cJSON_AddStringToObject(test, "source", d.equation->source);
    cJSON_AddStringToObject(test, "comment", c->comment);
    cJSON_AddItemToArray(flags, cJSON_CreateString(c->flag));
    cJSON_AddItemToObject(test, "flags", flags);
    cJSON_AddItemToObject(test, "dims", dims_json(c, &d));
    cJSON_AddItemToObject(test, "in", names_json(d.equation->in));
    cJSON_AddItemToObject(test, "out", names_json(d.equation->out));
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
    GoldenCase c;
    for (int k = 0; golden_case(k, &c); k++)
        if (!strcmp(c.family, family) && !cJSON_HasObjectItem(notes, c.row->flag))
            cJSON_AddStringToObject(notes, c.row->flag, golden_flag(c.row->flag)->bug);
    return index;
}

static int write_index(const char *path, cJSON *index, char *message, size_t size) {
    Output o;
    char *text = cJSON_Print(index);
    int status =
        text ? output_open(&o, path, message, size) : (snprintf(message, size, "no memory for %s", path), -1);
    if (!status) {
        fprintf(o.file, "%s\n", text);
        status = output_commit(&o, path, message, size);
    }
    free(text);
    return status;
}

static int write_family_index(const char *folder, const char *family, char *message, size_t size) {
    char path[PATH_MAX + 64];
    GoldenCase c;
    cJSON *index = index_json(family), *tests = cJSON_AddArrayToObject(index, "tests");
    for (int k = 0; golden_case(k, &c); k++)
        if (!strcmp(c.family, family)) cJSON_AddItemToArray(tests, case_json(c.row, c.number));
    snprintf(path, sizeof path, "%.*s/%s.json", PATH_MAX, folder, family);
    const int status = write_index(path, index, message, size);
    cJSON_Delete(index);
    return status;
}

int golden_write(const char *folder, const char *family, int64_t *cases, int64_t *gradients, char *message,
                 size_t size) {
    char path[PATH_MAX + 64], version[16];
    GoldenNumbers g = golden_numbers(family);
    *cases += g.cases;
    *gradients += g.gradients;
    snprintf(version, sizeof version, "%d", GOLDEN_VERSION);
    const SafeMetadata metadata[] = {{"format", GOLDEN_FORMAT}, {"version", version}, {"family", family}};
    snprintf(path, sizeof path, "%.*s/%s.safetensors", PATH_MAX, folder, family);
    const int status = safetensors_write(path, g.list, g.count, metadata, 3, message, size);
    golden_numbers_free(&g);
    return status ? status : write_family_index(folder, family, message, size);
}
