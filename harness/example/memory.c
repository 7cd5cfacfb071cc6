/* The neural memory by itself: one matrix learns pairs of keys and values while it reads them (eqs 13-15), and gives
 * the values back. */
#include <math.h>
#include <stdio.h>
#include <titans.h>

enum { WIDTH = 8, PAIRS = 4, ROUNDS = 50 };

int main(void) {
    const titans_memory_shape shape = {.key_width = WIDTH, .value_width = WIDTH};
    float k[PAIRS][WIDTH] = {{0}}, v[PAIRS][WIDTH], y[PAIRS][WIDTH];
    const float alpha[PAIRS] = {0, 0, 0, 0}, theta[PAIRS] = {0.2f, 0.2f, 0.2f, 0.2f},
                eta[PAIRS] = {0.5f, 0.5f, 0.5f, 0.5f};
    titans_error error;
    for (int i = 0; i < PAIRS; i++) {
        k[i][i] = k[i][i + PAIRS] = 0.7071068f;
        for (int j = 0; j < WIDTH; j++) v[i][j] = (float)sin(3.0 * i + j);
    }
    titans_memory *memory = titans_memory_new(&shape, NULL, NULL, &error);
    if (!memory) return fprintf(stderr, "memory: %s\n", error.message), 1;
    const titans_tokens tokens = {
        .k = &k[0][0], .v = &v[0][0], .alpha = alpha, .theta = theta, .eta = eta, .count = PAIRS};
    for (int round = 0; round < ROUNDS; round++)
        if (titans_memory_write(memory, &tokens, &error))
            return fprintf(stderr, "memory: %s\n", error.message), 1;
    if (titans_memory_read(memory, &k[0][0], PAIRS, &y[0][0], &error))
        return fprintf(stderr, "memory: %s\n", error.message), 1;
    float farthest = 0;
    for (int i = 0; i < PAIRS; i++)
        for (int j = 0; j < WIDTH; j++) farthest = fmaxf(farthest, fabsf(y[i][j] - v[i][j]));
    printf("%d values recalled, farthest %.6f from what was written\n", PAIRS, (double)farthest);
    titans_memory_free(memory);
    return farthest < 1e-3f ? 0 : 1;
}
