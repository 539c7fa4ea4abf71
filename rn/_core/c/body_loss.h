#include "vector_math.h"

KERNEL(sum_partials) {
    const rn_sum_partials_args *a = arguments;
    (void)tile, (void)scratch;
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < a->n; i++) sum += a->partial[i];
    *a->total = sum;
}

/* ---- losses that are a mean over elements */

typedef enum { RN_MSE, RN_MAE, RN_MSLE, RN_HUBER, RN_HINGE, RN_BCE, RN_SIGMOID_BCE } rn_element_loss;

static inline vf sign_or_itself(vf d) { /* -1, 1; 0 and NaN stay */
    return vf_select(vf_lt(vf_zero(), d), vf_set(1.0f), vf_select(vf_lt(d, vf_zero()), vf_set(-1.0f), d));
}

/* The loss of VL elements; its derivative by p in *slope, and in *probability what p stands for. */
static RN_ALWAYS_INLINE vf element_loss(int loss, vf p, vf t, vf delta, vf *slope, vf *probability) {
    const vf one = vf_set(1.0f), floor = vf_set(RN_PROBABILITY_FLOOR);
    *probability = p;
    if (loss == RN_MSE) {
        vf d = vf_sub(p, t);
        *slope = vf_add(d, d);
        return vf_mul(d, d);
    }
    if (loss == RN_MAE) {
        vf d = vf_sub(p, t);
        *slope = sign_or_itself(d);
        return vf_abs(d);
    }
    if (loss == RN_MSLE) {
        vf held = vf_max(vf_zero(), p), d = vf_sub(v_log1p(held), v_log1p(t));
        *slope = vf_div(vf_add(d, d), vf_add(one, held));
        return vf_mul(d, d);
    }
    if (loss == RN_HUBER) { /* with the slope m = d held in [-delta, delta], both branches are m (d - m / 2) */
        vf d = vf_sub(p, t), m = vf_min(delta, vf_max(vf_neg(delta), d));
        *slope = m;
        return vf_mul(m, vf_fnma(m, vf_set(0.5f), d));
    }
    if (loss == RN_HINGE) {
        vf short_of = vf_fnma(t, p, one);
        *slope = vf_select(vf_le(short_of, vf_zero()), vf_zero(), vf_neg(t));
        *slope = vf_select(vf_is_nan(short_of), short_of, *slope);
        return vf_max(vf_zero(), short_of);
    }
    if (loss == RN_BCE) {
        vf q = vf_max(floor, vf_sub(one, p)), rest = vf_sub(one, t);
        vf log_q = vf_select(vf_lt(floor, q), v_log1p(vf_neg(p)), v_log(q));
        p = vf_max(floor, p);
        *slope = vf_sub(vf_div(rest, q), vf_div(t, p));
        return vf_neg(vf_fma(t, v_log(p), vf_mul(rest, log_q)));
    }
    vf e = v_exp(vf_neg(vf_abs(p)));
    vf sigmoid = vf_div(vf_select(vf_lt(p, vf_zero()), e, one), vf_add(one, e));
    *probability = sigmoid;
    *slope = vf_sub(sigmoid, t);
    return vf_add(vf_fnma(t, p, vf_max(vf_zero(), p)), v_log1p_unit(e));
}

/* The sum of (p - t)^2 in float64, for errors whose squares float32 cannot hold. */
static double large_squares(const float *p, const float *t, ptrdiff_t n) {
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double d = (double)p[i] - (double)t[i];
        sum += d * d;
    }
    return sum;
}

/* Elements of one weight: sum of their losses; gradients and probabilities written where wanted. */
static RN_ALWAYS_INLINE double element_loss_stretch(int loss, const rn_element_loss_args *a, ptrdiff_t begin, ptrdiff_t end,
                                                    float scale) {
    double sum = 0.0;
    for (ptrdiff_t i = begin; i < end;) {
        const ptrdiff_t first = i, stop = end - i < RN_SUM_VECTORS * VL ? end : i + RN_SUM_VECTORS * VL;
        vf part = vf_zero();
        for (; i < stop; i += VL) {
            const ptrdiff_t rest = end - i;
            vf slope, probability;
            vf l = element_loss(loss, vf_load_first(a->prediction + i, rest), vf_load_first(a->target + i, rest),
                                vf_set(a->delta), &slope, &probability);
            part = vf_add(part, rest >= VL ? l : vf_where(vm_first(rest), l));
            if (a->gradient) vf_store_first(a->gradient + i, rest, vf_mul(slope, vf_set(scale)));
            if (a->probabilities) vf_store_first(a->probabilities + i, rest, probability);
        }
        const double share = vf_sum_double(part);
        sum += loss != RN_MSE || share < INFINITY ? share : large_squares(a->prediction + first, a->target + first, stop - first);
    }
    return sum;
}

static RN_ALWAYS_INLINE void element_loss_tile(int loss, const rn_element_loss_args *a, ptrdiff_t tile) {
    ptrdiff_t i = tile * RN_ELEMENT_TILE;
    const ptrdiff_t end = i + RN_ELEMENT_TILE < a->n ? i + RN_ELEMENT_TILE : a->n;
    double sum = 0.0;
    while (i < end) {
        ptrdiff_t stop = end;
        float weight = 1.0f;
        if (a->weights) {
            const ptrdiff_t row = i / a->outputs;
            weight = a->weights[row];
            stop = (row + 1) * a->outputs < end ? (row + 1) * a->outputs : end;
        }
        sum += weight * element_loss_stretch(loss, a, i, stop, (float)(weight / (double)a->n));
        i = stop;
    }
    a->partial[tile] = sum / (double)a->n;
}

KERNEL(mse) { (void)scratch, element_loss_tile(RN_MSE, arguments, tile); }
KERNEL(mae) { (void)scratch, element_loss_tile(RN_MAE, arguments, tile); }
KERNEL(msle) { (void)scratch, element_loss_tile(RN_MSLE, arguments, tile); }
KERNEL(huber) { (void)scratch, element_loss_tile(RN_HUBER, arguments, tile); }
KERNEL(hinge) { (void)scratch, element_loss_tile(RN_HINGE, arguments, tile); }
KERNEL(binary_cross_entropy) { (void)scratch, element_loss_tile(RN_BCE, arguments, tile); }
KERNEL(sigmoid_binary_cross_entropy) { (void)scratch, element_loss_tile(RN_SIGMOID_BCE, arguments, tile); }

KERNEL(rmse_gradient) {
    const rn_element_loss_args *a = arguments;
    const ptrdiff_t end = least((tile + 1) * RN_ELEMENT_TILE, a->n);
    const double scale = *a->partial == 0.0 ? 0.0 : 1.0 / ((double)a->n * sqrt(*a->partial));
    (void)scratch;
    for (ptrdiff_t i = tile * RN_ELEMENT_TILE; i < end;) {
        const ptrdiff_t row = i / a->outputs, stop = least((row + 1) * a->outputs, end);
        const vf factor = vf_set((float)((a->weights ? a->weights[row] : 1.0f) * scale));
        for (; i < stop; i += VL) {
            vf d = vf_sub(vf_load_first(a->prediction + i, stop - i), vf_load_first(a->target + i, stop - i));
            vf_store_first(a->gradient + i, stop - i, vf_mul(d, factor));
        }
        i = stop;
    }
}

KERNEL(regularize) {
    const rn_regularize_args *a = arguments;
    const vf l1 = vf_set(a->l1), l2 = vf_set(a->l2);
    const ptrdiff_t end = least((tile + 1) * RN_ELEMENT_TILE, a->n);
    double sum = 0.0;
    (void)scratch;
    for (ptrdiff_t i = tile * RN_ELEMENT_TILE; i < end;) {
        const ptrdiff_t stop = least(end, i + RN_SUM_VECTORS * VL);
        vf part = vf_zero();
        for (; i < stop; i += VL) {
            const ptrdiff_t rest = end - i;
            const vf w = vf_load_first(a->weight + i, rest), pull = vf_mul(l2, w);
            part = vf_add(part, vf_fma(pull, w, vf_mul(l1, vf_abs(w))));
            if (!a->gradient) continue;
            const vf slope = vf_fma(l1, sign_or_itself(w), vf_add(pull, pull));
            vf_store_first(a->gradient + i, rest, vf_add(vf_load_first(a->gradient + i, rest), slope));
        }
        sum += vf_sum_double(part);
    }
    a->partial[tile] = sum;
}

/* ---- cross-entropies: a mean over rows of c classes */

static inline float first_lane(vf a) {
    float lane[VL];
    vf_store(lane, a);
    return lane[0];
}

static inline void row_fill(float *y, ptrdiff_t n, float value) {
    if (y)
        for (ptrdiff_t j = 0; j < n; j++) y[j] = value;
}

/* t log t, 0 at 0. */
static inline vf negative_entropy(vf t) { return vf_select(vf_eq(t, vf_zero()), vf_zero(), vf_mul(t, v_log(t))); }

/* -sum_j t_j log p_j (+ t_j log t_j) and its gradient -t_j / p_j, p held at or above RN_PROBABILITY_FLOOR. */
static inline double cross_entropy_soft_row(const float *p, const float *t, float *gradient, ptrdiff_t c, float scale,
                                            int relative) {
    double sum = 0.0;
    for (ptrdiff_t j = 0; j < c;) {
        const ptrdiff_t stop = c - j < RN_SUM_VECTORS * VL ? c : j + RN_SUM_VECTORS * VL;
        vf part = vf_zero();
        for (; j < stop; j += VL) {
            vf held = vf_max(vf_set(RN_PROBABILITY_FLOOR), vf_load_first(p + j, c - j)), share = vf_load_first(t + j, c - j);
            vf missed = vf_mul(share, v_log(held));
            part = vf_add(part, relative ? vf_sub(negative_entropy(share), missed) : vf_neg(missed));
            if (gradient) vf_store_first(gradient + j, c - j, vf_mul(vf_div(share, held), vf_set(-scale)));
        }
        sum += vf_sum_double(part);
    }
    return sum;
}

static inline double cross_entropy_class_row(const float *p, int32_t label, float *gradient, ptrdiff_t c, float scale) {
    if (label < 0 || label >= c) {
        row_fill(gradient, c, NAN);
        return (double)NAN;
    }
    const float held = p[label] < RN_PROBABILITY_FLOOR ? RN_PROBABILITY_FLOOR : p[label];
    row_fill(gradient, c, 0.0f);
    if (gradient) gradient[label] = -scale / held;
    return -(double)first_lane(v_log(vf_set(held)));
}

KERNEL(cross_entropy) {
    const rn_class_loss_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = (tile + 1) * a->rows < a->n ? (tile + 1) * a->rows : a->n;
    double sum = 0.0;
    for (ptrdiff_t i = tile * a->rows; i < end; i++) {
        const float weight = a->weights ? a->weights[i] : 1.0f, scale = (float)(weight / (double)a->n);
        const float *p = a->prediction + i * a->c;
        float *gradient = a->gradient ? a->gradient + i * a->c : NULL;
        sum += weight * (a->classes ? cross_entropy_class_row(p, a->classes[i], gradient, a->c, scale)
                                    : cross_entropy_soft_row(p, a->target + i * a->c, gradient, a->c, scale, a->relative));
    }
    a->partial[tile] = sum / (double)a->n;
}

/* What one pass over a row of logits z gives: e_j = exp(z_j - max), and the sums that loss and gradient are made of. */
typedef struct {
    double others;    /* sum of e without one of the largest, so that log(1 + others) keeps its digits when the rest is tiny */
    double targets;   /* sum of t */
    double shortfall; /* sum of t_j (max - z_j), with t_j log t_j added where the loss is relative to the entropy of t */
} rn_logit_sums;

/* How many lanes a mask has: one, as a rule, where it says which are the largest. */
static inline int lanes_in(vm mask) {
    int count = 0;
    for (unsigned bits = vm_bits(mask); bits; bits &= bits - 1) count++;
    return count;
}

/* `e` may be z, or NULL where only the sums are wanted; `t` may be NULL. */
static inline rn_logit_sums logit_row(const float *z, const float *t, float *e, ptrdiff_t c, vf largest, int relative) {
    rn_logit_sums sums = {0.0, 0.0, 0.0};
    const vf quarter = vf_set(0.25f), down = vf_mul(vf_neg(quarter), largest);
    ptrdiff_t ties = 0;
    for (ptrdiff_t j = 0; j < c;) {
        const ptrdiff_t stop = c - j < RN_SUM_VECTORS * VL ? c : j + RN_SUM_VECTORS * VL;
        vf below = vf_zero(), share = vf_zero(), short_of = vf_zero();
        for (; j < stop; j += VL) {
            const vm mask = vm_first(c - j);
            vf d = vf_sub(vf_load_first(z + j, c - j), largest);
            vf y = v_exp(d);
            vm tie = vf_eq(d, vf_zero());
            ties += lanes_in(vm_and(tie, mask));
            below = vf_add(below, vf_where(vm_and(vm_not(tie), mask), y));
            if (t) {
                vf target = vf_load_first(t + j, c - j);
                share = vf_add(share, target);
                d = vf_fma(vf_load_first(z + j, c - j), quarter, down); /* of logits at both ends d itself is infinite */
                d = vf_where(vm_not(vf_eq(target, vf_zero())), d);      /* 0 of minus infinity is 0 */
                short_of = vf_fnma(target, d, short_of);
                if (relative) short_of = vf_fma(negative_entropy(target), quarter, short_of);
            }
            if (e) vf_store_first(e + j, c - j, y);
        }
        sums.others += vf_sum_double(below);
        if (t) {
            sums.targets += vf_sum_double(share);
            sums.shortfall += 4.0 * vf_sum_double(short_of);
        }
    }
    sums.others += (double)(ties - 1); /* by itself: 1 would swallow what is below */
    return sums;
}

/* One row: the sums that its loss is made of; probabilities and gradient written where wanted. */
static inline rn_logit_sums softmax_cross_entropy_row(const rn_class_loss_args *a, ptrdiff_t i, float scale) {
    const ptrdiff_t c = a->c;
    const float *z = a->prediction + i * c, *t = a->classes ? NULL : a->target + i * c;
    float *probabilities = a->probabilities ? a->probabilities + i * c : NULL;
    float *gradient = a->gradient ? a->gradient + i * c : NULL;
    float *e = gradient ? gradient : probabilities;
    const int32_t label = a->classes ? a->classes[i] : 0;
    const int known = label >= 0 && label < c;
    const float chosen = a->classes && known ? z[label] : 0.0f, largest = row_max(z, c);
    rn_logit_sums sums = logit_row(z, t, e, c, vf_set(largest), a->relative);
    if (a->classes) {
        sums.targets = known ? 1.0 : (double)NAN;
        sums.shortfall = (double)largest - (double)chosen;
    }
    const vf share = vf_set((float)(1.0 / (1.0 + sums.others))), total = vf_set((float)sums.targets);
    if (e)
        for (ptrdiff_t j = 0; j < c; j += VL) {
            vf p = vf_mul(vf_load_first(e + j, c - j), share);
            vm chosen_lane = vi_eq(vi_add(vi_lanes(), vi_set((int32_t)j)), vi_set(label));
            vf target = t ? vf_load_first(t + j, c - j) : vf_where(chosen_lane, total);
            if (probabilities) vf_store_first(probabilities + j, c - j, p);
            if (gradient) vf_store_first(gradient + j, c - j, vf_mul(vf_sub(vf_mul(p, total), target), vf_set(scale)));
        }
    return sums;
}

KERNEL(softmax_cross_entropy) {
    const rn_class_loss_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = (tile + 1) * a->rows < a->n ? (tile + 1) * a->rows : a->n;
    double sum = 0.0;
    for (ptrdiff_t first = tile * a->rows; first < end; first += VL) { /* VL rows share the logarithm's work */
        const int count = (int)least(VL, end - first);
        float weights[VL], others[VL] = {0.0f}, logarithms[VL];
        rn_logit_sums sums[VL];
        for (int i = 0; i < count; i++) {
            weights[i] = a->weights ? a->weights[first + i] : 1.0f;
            sums[i] = softmax_cross_entropy_row(a, first + i, (float)(weights[i] / (double)a->n));
            others[i] = (float)sums[i].others;
        }
        vf_store(logarithms, v_log1p(vf_load(others)));
        for (int i = 0; i < count; i++) sum += weights[i] * (sums[i].targets * (double)logarithms[i] + sums[i].shortfall);
    }
    a->partial[tile] = sum / (double)a->n;
}

/* ---- how many rows are right */

/* The first largest of n >= 1 floats; -1 where one of them is NaN. Each lane keeps its own first largest, then the lanes are
 * compared. */
static inline ptrdiff_t row_argmax(const float *x, ptrdiff_t n) {
    vf best = vf_set(-INFINITY);
    vi best_at = vi_set(INT32_MAX), at = vi_lanes();
    vm strange = vm_none();
    for (ptrdiff_t j = 0; j < n; j += VL, at = vi_add(at, vi_set(VL))) {
        const vm mask = vm_first(n - j);
        vf value = vf_load_first(x + j, n - j);
        strange = vm_or(strange, vm_and(mask, vf_is_nan(value)));
        vm better = vm_and(mask, vm_or(vf_lt(best, value), vi_eq(best_at, vi_set(INT32_MAX))));
        best = vf_select(better, value, best);
        best_at = vi_select(better, at, best_at);
    }
    if (vm_any(strange)) return -1;
    float values[VL];
    int32_t places[VL];
    vf_store(values, best);
    vi_store(places, best_at);
    int winner = 0;
    for (int i = 1; i < VL; i++)
        if (values[i] > values[winner] || (values[i] == values[winner] && places[i] < places[winner])) winner = i;
    return places[winner];
}

/* The class that row x stands for: the place of its largest, or, of a single column, whether it is above the threshold; -1 for
 * NaN. */
static inline ptrdiff_t row_class(const rn_class_loss_args *a, const float *x) {
    if (a->c > 1) return row_argmax(x, a->c);
    return x[0] > a->threshold ? 1 : x[0] <= a->threshold ? 0 : -1;
}

/* How the target names the class of row i. */
static inline ptrdiff_t target_class(const rn_class_loss_args *a, ptrdiff_t i) {
    return a->classes ? a->classes[i] : row_class(a, a->target + i * a->c);
}

KERNEL(count_correct) {
    const rn_class_loss_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = (tile + 1) * a->rows < a->n ? (tile + 1) * a->rows : a->n;
    ptrdiff_t right = 0;
    for (ptrdiff_t i = tile * a->rows; i < end; i++) {
        const ptrdiff_t predicted = row_class(a, a->prediction + i * a->c);
        right += predicted >= 0 && predicted == target_class(a, i);
    }
    a->partial[tile] = (double)right / (double)a->n;
}

/* How many of a row come before place `at`: the larger ones, and those as large to its left; c where one is NaN. */
static inline ptrdiff_t row_rank(const float *x, ptrdiff_t c, ptrdiff_t at) {
    ptrdiff_t before = 0;
    for (ptrdiff_t j = 0; j < c; j++) {
        if (x[j] != x[j]) return c;
        before += x[j] > x[at] || (x[j] == x[at] && j < at);
    }
    return before;
}

KERNEL(count_in_top) {
    const rn_class_loss_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * a->rows, a->n);
    ptrdiff_t right = 0;
    for (ptrdiff_t i = tile * a->rows; i < end; i++) {
        const float *x = a->prediction + i * a->c;
        const ptrdiff_t label = target_class(a, i);
        if (a->c == 1)
            right += label >= 0 && row_class(a, x) == label;
        else
            right += label >= 0 && label < a->c && row_rank(x, a->c, label) < least(a->k, a->c);
    }
    a->partial[tile] = (double)right / (double)a->n;
}

KERNEL(count_classes) {
    const rn_class_loss_args *a = arguments;
    const ptrdiff_t k = a->c, first = k == 1; /* the class of the first sum: of one column that of 1 */
    double *right = a->partial, *predicted = right + k, *actual = predicted + k;
    (void)tile, (void)scratch;
    for (ptrdiff_t j = 0; j < 3 * k; j++) a->partial[j] = 0.0;
    for (ptrdiff_t i = 0; i < a->n; i++) {
        if (a->several) {
            for (ptrdiff_t j = 0; j < k; j++) {
                const int label = a->target[i * k + j] > a->threshold, guess = a->prediction[i * k + j] > a->threshold;
                predicted[j] += guess;
                actual[j] += label;
                right[j] += label & guess;
            }
            continue;
        }
        const ptrdiff_t label = target_class(a, i) - first, guess = row_class(a, a->prediction + i * a->c) - first;
        if (guess >= 0) predicted[guess] += 1.0;
        if (label >= 0 && label < k) actual[label] += 1.0;
        if (guess >= 0 && guess == label) right[label] += 1.0;
    }
}

KERNEL(count_confusion) {
    const rn_class_loss_args *a = arguments;
    const ptrdiff_t k = a->c > 2 ? a->c : 2;
    (void)tile, (void)scratch;
    for (ptrdiff_t j = 0; j < k * k; j++) a->partial[j] = 0.0;
    for (ptrdiff_t i = 0; i < a->n; i++) {
        const ptrdiff_t label = target_class(a, i), guess = row_class(a, a->prediction + i * a->c);
        if (label >= 0 && label < k && guess >= 0) a->partial[label * k + guess] += 1.0;
    }
}

/* ---- what R^2 is made of */

KERNEL(sum_deviations) {
    const rn_sum_deviations_args *a = arguments;
    const ptrdiff_t m = a->outputs;
    double *restrict missed = a->sums, *restrict sum = missed + m, *restrict high = sum + m, *restrict low = high + m;
    (void)tile, (void)scratch;
    for (ptrdiff_t j = 0; j < 4 * m; j++) a->sums[j] = 0.0;
    for (ptrdiff_t i = 0; i < a->n; i++) {
        const float *p = a->prediction + i * m, *t = a->target + i * m;
        for (ptrdiff_t j = 0; j < m; j++) {
            const double d = (double)p[j] - (double)t[j];
            missed[j] += d * d;
            sum[j] += t[j];
            const double square = (double)t[j] * (double)t[j], scaled = 134217729.0 * square; /* 2^27 + 1: Veltkamp 1968 */
            const double first_half = scaled - (scaled - square);
            high[j] += first_half;
            low[j] += square - first_half;
        }
    }
}

/* ---- the activation of the largest */

KERNEL(one_hot_largest) {
    const rn_softmax_args *a = arguments;
    const ptrdiff_t end = least((tile + 1) * a->rows, a->n * a->s);
    (void)scratch;
    for (ptrdiff_t i = tile * a->rows; i < end; i++) {
        const ptrdiff_t begin = i / a->s * a->c * a->s + i % a->s;
        const float *x = a->x + begin;
        float *y = a->y + begin;
        ptrdiff_t winner = 0;
        int strange = 0;
        for (ptrdiff_t j = 0; j < a->c; j++) {
            strange |= x[j * a->s] != x[j * a->s];
            if (x[j * a->s] > x[winner * a->s]) winner = j;
        }
        for (ptrdiff_t j = 0; j < a->c; j++) y[j * a->s] = strange ? NAN : j == winner ? 1.0f : 0.0f;
    }
}
