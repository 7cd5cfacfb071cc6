#include "learn/score.h"

#include <math.h>

/* The likeliest of a sample's classes. */
static int32_t best_class(const Sample *s, const float *logits) {
    int32_t best = s->classes[0];
    for (int i = 1; i < s->class_count; i++)
        if (logits[s->classes[i]] > logits[best]) best = s->classes[i];
    return best;
}

/* Whether an answer of the sample ends with the token that was asked for last. */
static int answer_ends(const Sample *s, int64_t asked) {
    int64_t tokens = 0;
    for (int i = 0; i < s->answer_count && tokens < asked; i++) tokens += s->answers[i].length;
    return tokens == asked;
}

void score_row(Score *score, const Task *task, const Sample *sample, const ScoreRow *row) {
    score->asked++;
    if (task->metric == METRIC_SQUARED) {
        for (int64_t j = 0; j < row->width; j++) {
            const double error = (double)row->outputs[j] - (double)row->values[j];
            score->squared += error * error;
            score->numbers++;
        }
        return;
    }
    const int32_t best =
        task->metric == METRIC_CLASS && sample->class_count ? best_class(sample, row->outputs) : row->best;
    score->right += best == row->target;
    score->loss += row->loss;
    score->missed += best != row->target;
    if (!answer_ends(sample, score->asked)) return;
    score->answers++;
    score->found += score->missed == 0;
    score->missed = 0;
}

void score_choice(Score *score, int choice) {
    const double mean = score->asked ? score->loss / (double)score->asked : (double)INFINITY;
    if (choice == 0 || mean < score->best_loss) score->best_loss = mean, score->best_choice = choice;
    score->asked = score->right = score->answers = score->found = score->missed = 0;
    score->loss = 0.0;
}

int score_right(const Score *score, const Task *task, const Sample *sample) {
    if (task->metric == METRIC_CHOICE && sample->choices > 1) return score->best_choice == sample->right;
    return task->metric != METRIC_SQUARED && score->right == score->asked;
}

void score_add(Score *sum, const Score *score) {
    sum->asked += score->asked;
    sum->right += score->right;
    sum->loss += score->loss;
    sum->squared += score->squared;
    sum->numbers += score->numbers;
    sum->depth += score->depth;
    sum->answers += score->answers;
    sum->found += score->found;
}

double score_nats(const Score *s) { return s->asked ? s->loss / (double)s->asked : 0.0; }
double score_bits(const Score *s) { return score_nats(s) / 0.69314718055994530942; }
double score_tokens(const Score *s) { return s->asked ? (double)s->right / (double)s->asked : 0.0; }
double score_squared(const Score *s) { return s->numbers ? s->squared / (double)s->numbers : 0.0; }
