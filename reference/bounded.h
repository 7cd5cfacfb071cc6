/* Bounded: a number that carries its own float32 error bound, so that tolerances are derived, not chosen.
 *
 *   v   value                    (double, taken as exact)
 *   d   tangent, the derivative of v along one direction (forward mode)
 *   ev  bound of |v computed in float32 - v|
 *   ed  bound of |d computed in float32 - d|
 *
 * First-order running error analysis, u = 2^-24. Writing a^ = a + da with |da| <= a.ev, every rounded
 * operation contributes (i) the errors of its operands through its partial derivatives and (ii) its own
 * rounding, at most u times the modulus of its result. Products of two errors (order u^2) are dropped.
 * A sum rounds by u (|a| + |b|) instead of u |a + b|: the partial sums of another order of summation are
 * larger than ours when ours cancel, and this covers them. The tangent is evaluated by the formulas written
 * at each operation, whose intermediate results round in the same way.
 * exp, log, tanh, sin, cos, sqrt are allowed a relative error 2u of their own. Underflow is not covered.
 * Inputs are exact: they must be float32 numbers. Constants pay for their rounding to float32. */
#pragma once
#include <cmath>
#include <cstdint>

struct Bounded {
    double v, d, ev, ed;

    Bounded() = default;
    Bounded(double value, double tangent, double value_error, double tangent_error)
        : v(value), d(tangent), ev(value_error), ed(tangent_error) {}
    Bounded(int n) : v(n), d(0), ev(0), ed(0) {}
    Bounded(int64_t n) : v((double)n), d(0), ev(0), ed(0) {}
    /* A constant: float32 holds its nearest neighbour. */
    Bounded(double c) : v(c), d(0), ev(std::fabs(c - (double)(float)c)), ed(0) {}
};

static const double bounded_u = 0x1p-24;

static inline double bounded_abs(double x) { return std::fabs(x); }

/* Negation is exact. */
static inline Bounded operator-(Bounded a) { return Bounded(-a.v, -a.d, a.ev, a.ed); }

/* v = a + b; d = a' + b'. Both: errors of the operands add, one rounding of a sum. */
static inline Bounded operator+(Bounded a, Bounded b) {
    double ev = a.ev + b.ev + bounded_u * (bounded_abs(a.v) + bounded_abs(b.v));
    double ed = a.ed + b.ed + bounded_u * (bounded_abs(a.d) + bounded_abs(b.d));
    return Bounded(a.v + b.v, a.d + b.d, ev, ed);
}

static inline Bounded operator-(Bounded a, Bounded b) { return a + -b; }

/* v = a b: dv = a db + b da, one rounding.
 * d = a' b + a b': each product brings the errors of its two factors and rounds (u |a' b|, u |a b'|); their
 * sum rounds by u (|a' b| + |a b'|) once more. */
static inline Bounded operator*(Bounded a, Bounded b) {
    double v = a.v * b.v, left = a.d * b.v, right = a.v * b.d;
    double ev = bounded_abs(a.v) * b.ev + bounded_abs(b.v) * a.ev + bounded_u * bounded_abs(v);
    double ed = bounded_abs(b.v) * a.ed + bounded_abs(a.d) * b.ev + bounded_abs(a.v) * b.ed +
                bounded_abs(b.d) * a.ev + 2 * bounded_u * (bounded_abs(left) + bounded_abs(right));
    return Bounded(v, left + right, ev, ed);
}

/* v = a / b: dv = (da - v db) / b, one rounding.
 * d = (a' - v b') / b: the product v b' brings the errors of v and b' and rounds; the difference rounds by
 * u (|a'| + |v b'|); the quotient brings d db / b and rounds. */
static inline Bounded operator/(Bounded a, Bounded b) {
    double size = bounded_abs(b.v), v = a.v / b.v, product = v * b.d, d = (a.d - product) / b.v;
    double ev = (a.ev + bounded_abs(v) * b.ev) / size + bounded_u * bounded_abs(v);
    double top = a.ed + bounded_abs(v) * b.ed + bounded_abs(b.d) * ev + bounded_u * bounded_abs(product) +
                 bounded_u * (bounded_abs(a.d) + bounded_abs(product));
    double ed = (top + bounded_abs(d) * b.ev) / size + bounded_u * bounded_abs(d);
    return Bounded(v, d, ev, ed);
}

static inline Bounded &operator+=(Bounded &a, Bounded b) { return a = a + b; }
static inline Bounded &operator-=(Bounded &a, Bounded b) { return a = a - b; }
static inline Bounded &operator*=(Bounded &a, Bounded b) { return a = a * b; }
static inline Bounded &operator/=(Bounded &a, Bounded b) { return a = a / b; }

/* A function f with its slope f'(a): v = f, dv = f' da, own error 2u |f|.
 * d = f' a': slope_error bounds the error of the computed slope; the product rounds. */
static inline Bounded bounded_function(Bounded a, double f, double slope, double slope_error) {
    double d = slope * a.d;
    double ev = bounded_abs(slope) * a.ev + 2 * bounded_u * bounded_abs(f);
    double ed = bounded_abs(slope) * a.ed + bounded_abs(a.d) * slope_error + bounded_u * bounded_abs(d);
    return Bounded(f, d, ev, ed);
}

/* The slope is the computed value itself, with the value's error. */
static inline Bounded exp(Bounded a) {
    double f = std::exp(a.v);
    return bounded_function(a, f, f, f * a.ev + 2 * bounded_u * f);
}

/* Slope 1 / a: error da / a^2, one rounding. */
static inline Bounded log(Bounded a) {
    double slope = 1 / a.v, size = bounded_abs(slope);
    return bounded_function(a, std::log(a.v), slope, slope * slope * a.ev + bounded_u * size);
}

/* Slope 1 / (2 r), r the computed root: d(1 / 2r) = dr / (2 r^2), one rounding. */
static inline Bounded sqrt(Bounded a) {
    double r = std::sqrt(a.v), slope = 1 / (2 * r);
    double r_error = slope * a.ev + 2 * bounded_u * r;
    return bounded_function(a, r, slope, slope * r_error / r + bounded_u * slope);
}

/* Slope 1 - t^2, t the computed value: 2 |t| dt, the square rounds, the difference rounds by u (1 + t^2). */
static inline Bounded tanh(Bounded a) {
    double t = std::tanh(a.v), slope = 1 - t * t;
    double t_error = slope * a.ev + 2 * bounded_u * bounded_abs(t);
    double slope_error = 2 * bounded_abs(t) * t_error + bounded_u * t * t + bounded_u * (1 + t * t);
    return bounded_function(a, t, slope, slope_error);
}

/* The slope of each is the other, evaluated by itself: its own slope times da, own error 2u. */
static inline Bounded sin(Bounded a) {
    double s = std::sin(a.v), c = std::cos(a.v);
    return bounded_function(a, s, c, bounded_abs(s) * a.ev + 2 * bounded_u * bounded_abs(c));
}

static inline Bounded cos(Bounded a) {
    double s = std::sin(a.v), c = std::cos(a.v);
    return bounded_function(a, c, -s, bounded_abs(c) * a.ev + 2 * bounded_u * bounded_abs(s));
}
