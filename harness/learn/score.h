#pragma once
#include "task/task.h"

/* What one sample has come to, under any metric; the only place that judges, for training and evaluation alike. */
typedef struct {
    int64_t asked, right; /* tokens (classes, rows) asked for, and how many of them were the likeliest */
    double loss;          /* sum of their nats */
    double squared;       /* sum of squared errors of the numbers asked for, and how many there are */
    int64_t numbers;
    double best_loss; /* METRIC_CHOICE: mean nats of the likeliest text so far, and which it is */
    int best_choice;
    double depth; /* where the needle was (Sample), summed over samples */
    int64_t answers,
        found; /* answers that were read whole, and those of them with every token right: RULER's share of the
                               references, where each is read behind the right ones before it */
    int64_t missed; /* tokens of the answer that is being read which were not the likeliest */
} Score;

/* One row that is asked for: its logits (or predicted numbers), its loss in nats and likeliest class. */
typedef struct {
    const float *outputs;
    int64_t width;
    int32_t target, best;
    double loss;
    const float *values; /* METRIC_SQUARED */
} ScoreRow;
void score_row(Score *score, const Task *task, const Sample *sample, const ScoreRow *row);

/* METRIC_CHOICE: what was summed up belongs to this text; the next one begins. */
void score_choice(Score *score, int choice);

/* 1 if the sample counts as right, METRIC_LOSS and METRIC_SQUARED as if every row had to be. */
int score_right(const Score *score, const Task *task, const Sample *sample);

/* All samples together. */
void score_add(Score *sum, const Score *score);
double score_nats(const Score *sum); /* per token asked for */
double score_bits(const Score *sum);
double score_tokens(const Score *sum);  /* share of tokens right */
double score_squared(const Score *sum); /* mean squared error */
