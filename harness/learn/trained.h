#pragma once
#include "file/checkpoint.h"
#include "learn/asked.h"
#include "library/library.h"

/* A checkpoint together with the task it is asked. It stays where it is once open: streams point into it. */
typedef struct {
    Model model;
    titans_model library; /* the model, for streams */
    Recipe recipe;
    Progress progress;
    OpenTask task;
    int same_text; /* what is asked is made of the prose of the training */
} Trained;

/* asked: what replaces the task and the texts of the checkpoint; length: the sequences that will be asked, or 0. The task
 * is ready to give samples. 0, or -1 with a message. */
int trained_open(Trained *trained, const char *file, const Asked *asked, int64_t length, char *message,
                 size_t size);
void trained_close(Trained *trained);

/* Keys of the model that change no weight, "key=value", over those of the checkpoint, for sequences of `length` tokens:
 * trained_length and asked_length, where they are not given, are the longest sequence of the training and `length`. None
 * given: the model as it was trained. 0, or -1 with a message. */
int trained_ask(Trained *trained, const char *const *assignment, int count, int64_t length, char *message,
                size_t size);

/* The task, its version and its options, and the texts it asks about, by what they are and not by their names: what rows
 * and states of an evaluation depend on besides the model. Release with cJSON_Delete. */
struct cJSON *trained_identity(const Trained *trained);

/* The checkpoint alone, for texts: refuses one that is not of bytes. 0, or -1 with a message. */
int trained_open_bytes(Trained *trained, const char *file, char *message, size_t size);

/* Mean over the heads of row `row` of what a stream shows of its memories. */
double trained_head_mean(const Trained *trained, const float *rows, int64_t row);
