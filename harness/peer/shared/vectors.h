/* A published system's vectors: NAME.safetensors beside NAME.json, and the cases in them. */
#pragma once
#include "file/safetensors.h"

struct cJSON;

typedef struct {
    SafeFile tensors;
    struct cJSON *json;
} Vectors;

typedef struct {
    const Vectors *vectors;
    const char *name;
    const struct cJSON *dims; /* the case's sizes and options */
} VectorCase;

/* 0, or -1 with a message; vectors_close releases. */
int vectors_open(Vectors *v, const char *folder, const char *system, char *message, size_t size);
void vectors_close(Vectors *v);

/* -1 with a message where the folder has no NAME.safetensors of this system, else 0. */
int vectors_missing(const char *folder, const char *system, char *message, size_t size);

/* -1 with a message where a tensor belongs to no case of the JSON, else 0. */
int vectors_strangers(const Vectors *v, char *message, size_t size);

/* The i-th case; 0 past the end. */
int vectors_case(const Vectors *v, int i, VectorCase *c);

/* The peer itself computed in float32. */
int vectors_are_float32(const Vectors *v);

/* "in", "out", "cot/out" or "grad", and a name: NULL where the case has none. */
const SafeTensor *case_tensor(const VectorCase *c, const char *kind, const char *name);

/* The value of an expression over the case's dims. 0, or -1 with a message. */
int case_number(const VectorCase *c, const char *expression, double *value, char *message, size_t size);

/* The text that a dim is, or NULL. */
const char *case_text(const VectorCase *c, const char *name);

/* The numbers of a dim (one, or a list) into x, at most n; returns how many there are, -1: there is none. */
int64_t case_list(const VectorCase *c, const char *name, double *x, int64_t n);
