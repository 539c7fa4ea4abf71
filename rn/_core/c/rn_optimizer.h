/* The optimizers' kernels, a part of rn.h: each changes all parameters in one pass over memory. */
#ifndef RN_OPTIMIZER_H
#define RN_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#define RN_OPTIMIZER_KERNELS(X) \
    X(sum_squares) \
    X(nadam_product) \
    X(sgd) \
    X(adagrad) \
    X(rmsprop) \
    X(adadelta) \
    X(adam) \
    X(nadam) \
    X(lion)

/* sum_squares: partial[first + tile] = sum of x[i]^2 over the tile's elements, i < n, in float64. A tile is RN_ELEMENT_TILE
 * elements. 2 FLOP, 4 bytes an element. */
typedef struct {
    const float *x;
    double *partial;
    ptrdiff_t n, first;
} rn_sum_squares_args;

/* nadam_product: product = mu_1 … mu_t, t the update in *step and mu_s = beta_1 (1 - base^s / 2), base = 0.96^momentum_decay. It
 * goes on from the update it knows, or begins anew at 1, with the same bits; a product that 1 - product cannot show any more is
 * left as it is. One tile. */
typedef struct {
    uint64_t updates; /* whose product this is; 0 at first */
    double product;
} rn_nadam_product_state;
typedef struct {
    rn_nadam_product_state *state;
    const rn_step *step;
    double beta_1, base;
} rn_nadam_product_args;

/* The update of p, n parameters, by their gradients. State has the parameters' length, is zero at first, and is NULL where a rule
 * does without it. eta is the learning rate in *step as it runs, t >= 1 its update. A tile is RN_ELEMENT_TILE elements; 4 bytes
 * for each element read or written, 6 to 16 FLOP an element. Before every rule, in this order:
 * - g = gradient min(1, clip_norm / (sqrt(*squares) + 1e-6)), *squares the sum of squares of all gradients; NULL: g = gradient;
 * - g = g held inside [-clip_value, clip_value], which may be infinite; NaN stays;
 * - g += weight_decay p, or where decoupled p -= eta weight_decay p.
 * The rules:
 * - sgd: v = momentum v + g; p -= eta (nesterov: g + momentum v; else v), or eta g where velocity is NULL;
 * - adagrad: s += g^2; p -= eta g / (sqrt(s) + epsilon), s the variance;
 * - rmsprop: s = rho s + (1 - rho) g^2; where centered m = rho m + (1 - rho) g; d = g / (sqrt(s - m^2) + epsilon);
 *   p -= eta d, or with velocity v = momentum v + d; p -= eta v;
 * - adadelta: s as in rmsprop; d = g sqrt(c + epsilon) / sqrt(s + epsilon); c = rho c + (1 - rho) d^2; p -= eta d, c the changes;
 * - adam: m = beta_1 m + (1 - beta_1) g; s = beta_2 s + (1 - beta_2) g^2; where there is `largest` it becomes max(largest, s) and
 *   takes the place of s; p -= eta / (1 - beta_1^t) m / (sqrt(s) / sqrt(1 - beta_2^t) + epsilon);
 * - nadam: m and s as in adam, mu as in nadam_product, P its product; d = 1 / (sqrt(s) / sqrt(1 - beta_2^t) + epsilon);
 *   p -= eta d ((1 - mu_t) / (1 - P) g + mu_(t + 1) / (1 - P mu_(t + 1)) m);
 * - lion: p -= eta sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g. */
typedef struct {
    float *parameters, *velocity, *mean, *variance, *largest, *changes;
    const float *gradients;
    const double *squares;
    const rn_nadam_product_state *product;
    const rn_step *step;
    ptrdiff_t n;
    double clip_norm, weight_decay, momentum, rho, beta_1, beta_2, base;
    float clip_value, epsilon;
    int decoupled, nesterov;
} rn_update_args;

#endif
