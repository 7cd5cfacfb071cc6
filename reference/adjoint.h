/* Adjoint: a number that remembers how it was computed, so that one run of an equation gives the derivatives with
 * respect to everything it was given (reverse mode).
 *
 *   v    value, in double
 *   at   its place in the record; 0: a constant
 *
 * Every operation writes one node: the places of its operands and its two partial derivatives. `adjoint_reverse` walks
 * the record backwards. The record belongs to the thread; all zero bits are the constant 0. */
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

struct AdjointNode {
    uint32_t a, b;
    double da, db;
};

static thread_local std::vector<AdjointNode> adjoint_record;
static thread_local std::vector<double> adjoint_sum; /* of every node, what has arrived */

struct Adjoint {
    double v;
    uint32_t at;

    Adjoint() = default;
    Adjoint(double value, uint32_t place) : v(value), at(place) {}
    Adjoint(int n) : v(n), at(0) {}
    Adjoint(int64_t n) : v((double)n), at(0) {}
    Adjoint(double c) : v(c), at(0) {}
};

static inline uint32_t adjoint_node(uint32_t a, double da, uint32_t b, double db) {
    if (adjoint_record.size() >= UINT32_MAX) {
        fprintf(stderr, "reference: more operations than a record holds\n");
        abort();
    }
    adjoint_record.push_back({a, b, da, db});
    return (uint32_t)(adjoint_record.size() - 1);
}

/* A result of two operands with its partial derivatives; of constants it is a constant. */
static inline Adjoint adjoint_of(double v, Adjoint a, double da, Adjoint b, double db) {
    return Adjoint(v, a.at || b.at ? adjoint_node(a.at, da, b.at, db) : 0);
}

static inline Adjoint adjoint_function(double v, Adjoint a, double slope) {
    return adjoint_of(v, a, slope, Adjoint(0), 0);
}

static inline Adjoint operator-(Adjoint a) { return adjoint_function(-a.v, a, -1); }
static inline Adjoint operator+(Adjoint a, Adjoint b) { return adjoint_of(a.v + b.v, a, 1, b, 1); }
static inline Adjoint operator-(Adjoint a, Adjoint b) { return adjoint_of(a.v - b.v, a, 1, b, -1); }
static inline Adjoint operator*(Adjoint a, Adjoint b) { return adjoint_of(a.v * b.v, a, b.v, b, a.v); }
static inline Adjoint operator/(Adjoint a, Adjoint b) {
    double v = a.v / b.v;
    return adjoint_of(v, a, 1 / b.v, b, -v / b.v);
}

static inline Adjoint &operator+=(Adjoint &a, Adjoint b) { return a = a + b; }
static inline Adjoint &operator-=(Adjoint &a, Adjoint b) { return a = a - b; }
static inline Adjoint &operator*=(Adjoint &a, Adjoint b) { return a = a * b; }
static inline Adjoint &operator/=(Adjoint &a, Adjoint b) { return a = a / b; }

static inline Adjoint exp(Adjoint a) {
    double v = std::exp(a.v);
    return adjoint_function(v, a, v);
}
static inline Adjoint log(Adjoint a) { return adjoint_function(std::log(a.v), a, 1 / a.v); }
static inline Adjoint sqrt(Adjoint a) {
    double v = std::sqrt(a.v);
    return adjoint_function(v, a, 1 / (2 * v));
}
static inline Adjoint tanh(Adjoint a) {
    double v = std::tanh(a.v);
    return adjoint_function(v, a, 1 - v * v);
}
static inline Adjoint sin(Adjoint a) { return adjoint_function(std::sin(a.v), a, std::cos(a.v)); }
static inline Adjoint cos(Adjoint a) { return adjoint_function(std::cos(a.v), a, -std::sin(a.v)); }

/* Forgets everything; node 0 is that of all constants. */
static void adjoint_begin(void) {
    adjoint_record.assign(1, {0, 0, 0, 0});
    adjoint_sum.clear();
}

/* A number that is given: its derivative is wanted. */
static inline Adjoint adjoint_given(double value) { return Adjoint(value, adjoint_node(0, 0, 0, 0)); }

/* The sum that has arrived at a number. */
static inline double adjoint_arrived(Adjoint a) {
    return a.at < adjoint_sum.size() && a.at ? adjoint_sum[a.at] : 0;
}

/* Adds n cotangents to the numbers x (of Adjoint). */
static void adjoint_seed(const void *x, const double *cotangent, size_t n) {
    const Adjoint *y = (const Adjoint *)x;
    adjoint_sum.resize(adjoint_record.size(), 0);
    for (size_t i = 0; i < n; i++) adjoint_sum[y[i].at] += cotangent[i];
}

static void adjoint_reverse(void) {
    adjoint_sum.resize(adjoint_record.size(), 0);
    for (size_t i = adjoint_record.size(); i-- > 1;) {
        const AdjointNode &node = adjoint_record[i];
        adjoint_sum[node.a] += node.da * adjoint_sum[i];
        adjoint_sum[node.b] += node.db * adjoint_sum[i];
    }
}
