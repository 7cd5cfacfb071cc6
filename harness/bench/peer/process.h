#pragma once
#include "bench/peer/subject.h"

#include <stdio.h>
#include <sys/types.h>

/* A program that answers on its standard output what it is asked on its standard input: lines, and arrays of float32 in
 * this machine's order. Its standard error is ours. */
typedef struct {
    pid_t pid;
    FILE *to, *from;
} Process;

/* argv ends with NULL. 0, or -1 with a message. */
int process_start(Process *process, char *const argv[], char *message, size_t size);

/* Sends a line, or numbers. A process that has ended may have said why: who reads next finds that, or the end. */
void process_say(Process *process, const char *format, ...) __attribute__((format(printf, 2, 3)));
void process_send(Process *process, const float *data, int64_t count);

/* The next line without its end, or `count` numbers. 0, or -1 with a message: it has ended, how. */
int process_line(Process *process, char *line, size_t length, char *message, size_t size);
int process_receive(Process *process, float *data, int64_t count, char *message, size_t size);

void process_end(Process *process);
