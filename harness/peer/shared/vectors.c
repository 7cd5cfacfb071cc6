#include "peer/shared/vectors.h"
#include "file/input.h"
#include "file/json.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JSON_MOST = 1 << 24 };

int vectors_open(Vectors *v, const char *folder, const char *system, char *message, size_t size) {
    char path[512];
    int64_t length;
    *v = (Vectors){0};
    snprintf(path, sizeof path, "%s/%s.json", folder, system);
    char *text = input_all(path, JSON_MOST, &length, message, size), reason[256];
    if (!text) return -1;
    v->json = json_object(text, length, reason, sizeof reason);
    free(text);
    if (!v->json) return snprintf(message, size, "%s: %s", path, reason), -1;
    if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(v->json, "cases"))) {
        cJSON_Delete(v->json);
        return snprintf(message, size, "%s: no object \"cases\"", path), -1;
    }
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, system);
    if (!safetensors_read(&v->tensors, path, message, size)) return 0;
    cJSON_Delete(v->json);
    return -1;
}

void vectors_close(Vectors *v) {
    safetensors_close(&v->tensors);
    cJSON_Delete(v->json);
}

int vectors_missing(const char *folder, const char *system, char *message, size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, system);
    return access(path, F_OK) ? snprintf(message, size, "%s: %s", path, strerror(errno)), -1 : 0;
}

int vectors_strangers(const Vectors *v, char *message, size_t size) {
    const cJSON *cases = cJSON_GetObjectItemCaseSensitive(v->json, "cases"), *each;
    for (int k = 0; k < v->tensors.tensor_count; k++) {
        const char *name = v->tensors.tensors[k].name;
        int found = 0;
        cJSON_ArrayForEach(each, cases) {
            const size_t n = strlen(each->string);
            found |= !strncmp(name, each->string, n) && name[n] == '/';
        }
        if (!found) return snprintf(message, size, "%s belongs to no case of the JSON file", name), -1;
    }
    return 0;
}

int vectors_case(const Vectors *v, int i, VectorCase *c) {
    const cJSON *each = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(v->json, "cases"), i);
    if (!each) return 0;
    *c = (VectorCase){v, each->string, cJSON_GetObjectItemCaseSensitive(each, "dims")};
    return 1;
}

int vectors_are_float32(const Vectors *v) {
    const cJSON *precision = cJSON_GetObjectItemCaseSensitive(v->json, "precision");
    return cJSON_IsString(precision) && !strcmp(precision->valuestring, "float32");
}

const SafeTensor *case_tensor(const VectorCase *c, const char *kind, const char *name) {
    char full[256];
    snprintf(full, sizeof full, "%s/%s/%s", c->name, kind, name);
    return safetensors_find(&c->vectors->tensors, full);
}

static const cJSON *case_dim(const VectorCase *c, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(c->dims, name);
}

const char *case_text(const VectorCase *c, const char *name) {
    const cJSON *dim = case_dim(c, name);
    return cJSON_IsString(dim) ? dim->valuestring : 0;
}

int64_t case_list(const VectorCase *c, const char *name, double *x, int64_t n) {
    const cJSON *dim = case_dim(c, name), *each;
    if (cJSON_IsBool(dim) || cJSON_IsNumber(dim)) {
        if (n > 0) x[0] = cJSON_IsBool(dim) ? cJSON_IsTrue(dim) : dim->valuedouble;
        return 1;
    }
    if (!cJSON_IsArray(dim)) return -1;
    int64_t count = 0;
    cJSON_ArrayForEach(each, dim) {
        if (!cJSON_IsNumber(each)) return -1;
        if (count < n) x[count] = each->valuedouble;
        count++;
    }
    return count;
}

/* ---- expressions ---- */

typedef struct {
    const VectorCase *of;
    const char *at, *whole;
    char *message;
    size_t size;
    int failed;
} Reader;

static double sum(Reader *r);

static double fail(Reader *r, const char *what) {
    if (!r->failed) snprintf(r->message, r->size, "'%s': %s at '%s'", r->whole, what, r->at);
    r->failed = 1;
    return 0;
}

/* Copies a name, of a tensor where `dotted`; NULL after a failure. */
static const char *name_of(Reader *r, int dotted, char name[64]) {
    size_t n = 0;
    while (isalnum((unsigned char)r->at[n]) || r->at[n] == '_' || (dotted && r->at[n] == '.')) n++;
    if (!n || n >= 64) return fail(r, "a name or a number is wanted"), NULL;
    snprintf(name, 64, "%.*s", (int)n, r->at);
    r->at += n;
    return name;
}

/* axes(TENSOR): how many it has; axis(TENSOR,i): the length of one. */
static double shape_of(Reader *r, int one) {
    char name[64];
    if (*r->at++ != '(' || !name_of(r, 1, name)) return fail(r, "(TENSOR) is wanted");
    const SafeTensor *t = case_tensor(r->of, "in", name);
    double axis = 0;
    if (one && *r->at == ',') r->at++, axis = sum(r);
    if (*r->at != ')') return fail(r, "')' is wanted");
    r->at++;
    if (!t) return 0;
    if (!one) return t->dims;
    return axis >= 0 && axis < t->dims ? (double)t->shape[(int)axis] : fail(r, "the tensor has no such axis");
}

/* count(NAME): how many numbers a dim of the case has. */
static double count_of(Reader *r) {
    char name[64];
    if (*r->at++ != '(' || !name_of(r, 0, name) || *r->at != ')') return fail(r, "(NAME) is wanted");
    r->at++;
    const int64_t count = case_list(r->of, name, 0, 0);
    return count >= 0 ? (double)count : fail(r, "the case's dims have no such numbers");
}

static double named(Reader *r) {
    char name[64];
    double value;
    if (!name_of(r, 0, name)) return 0;
    if (*r->at == '(' && !strcmp(name, "count")) return count_of(r);
    if (*r->at == '(' && (!strcmp(name, "axes") || !strcmp(name, "axis")))
        return shape_of(r, !strcmp(name, "axis"));
    if (case_list(r->of, name, &value, 1) != 1) return fail(r, "the case's dims have no such number");
    return value;
}

static double factor(Reader *r) {
    if (*r->at == '(') {
        r->at++;
        const double value = sum(r);
        if (*r->at != ')') return fail(r, "')' is wanted");
        r->at++;
        return value;
    }
    if (*r->at == '?') {
        char name[64];
        r->at++;
        return name_of(r, 1, name) && case_tensor(r->of, "in", name);
    }
    if (!isdigit((unsigned char)*r->at)) return named(r);
    char *end;
    const double value = (double)strtoll(r->at, &end, 10);
    r->at = end;
    return value;
}

static double product(Reader *r) {
    double value = factor(r);
    while (!r->failed && (*r->at == '*' || *r->at == '/')) {
        const char sign = *r->at++;
        const double other = factor(r);
        if (sign == '/' && other == 0) return fail(r, "division by 0");
        value = sign == '*' ? value * other : value / other;
    }
    return value;
}

static double sum(Reader *r) {
    double value = product(r);
    while (!r->failed && (*r->at == '+' || *r->at == '-')) {
        const char sign = *r->at++;
        const double other = product(r);
        value = sign == '+' ? value + other : value - other;
    }
    return value;
}

int case_number(const VectorCase *c, const char *expression, double *value, char *message, size_t size) {
    Reader r = {c, expression, expression, message, size, 0};
    *value = sum(&r);
    if (!r.failed && *r.at) fail(&r, "more than an expression");
    return r.failed ? -1 : 0;
}
