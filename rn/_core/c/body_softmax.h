#include "vector_math.h"

/* Vectors added in float32 before the sum goes on in float64 (or in a second float32): long rows keep 1e-5. */
enum { RN_SUM_VECTORS = 32 };

static inline float row_max(const float *x, ptrdiff_t n) {
    vf largest = vf_set(-INFINITY);
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL) largest = vf_max(vf_load(x + j), largest);
    if (j < n) {
        const vm mask = vm_first(n - j);
        largest = vf_max(vf_select(mask, vf_load_masked(x + j, mask), largest), largest);
    }
    return vf_largest(largest);
}

static inline void row_scale(float *y, ptrdiff_t n, float factor) {
    for (ptrdiff_t j = 0; j < n; j += VL) vf_store_first(y + j, n - j, vf_mul(vf_load_first(y + j, n - j), vf_set(factor)));
}

/* y = softmax(x) over n <= VL neighbours, which stay in one vector: the same numbers as those of longer rows. */
static inline void softmax_short_row(const float *x, float *y, ptrdiff_t n) {
    const vm mask = vm_first(n);
    const vf e = v_exp(vf_sub(vf_load_masked(x, mask), vf_set(row_max(x, n))));
    vf_store_first(y, n, vf_mul(e, vf_set((float)(1.0 / vf_sum_double(vf_where(mask, e))))));
}

/* y = softmax(x) over n neighbours. */
static inline void softmax_row(const float *x, float *y, ptrdiff_t n) {
    if (n <= VL) {
        softmax_short_row(x, y, n);
        return;
    }
    const vf shift = vf_set(row_max(x, n));
    double sum = 0.0;
    for (ptrdiff_t j = 0; j < n;) {
        const ptrdiff_t stop = n - j < RN_SUM_VECTORS * VL ? n : j + RN_SUM_VECTORS * VL;
        vf part = vf_zero();
        for (; j < stop; j += VL) {
            vf e = v_exp(vf_sub(vf_load_first(x + j, n - j), shift));
            vf_store_first(y + j, n - j, e);
            part = vf_add(part, vf_where(vm_first(n - j), e));
        }
        sum += vf_sum_double(part);
    }
    row_scale(y, n, (float)(1.0 / sum));
}

/* y = softmax(x) over c elements `stride` apart, for `count` <= VL neighbours at once. */
static inline void softmax_columns(const float *x, float *y, ptrdiff_t c, ptrdiff_t stride, ptrdiff_t count) {
    vf shift = vf_set(-INFINITY);
    for (ptrdiff_t k = 0; k < c; k++) shift = vf_max(vf_load_first(x + k * stride, count), shift);
    vf sum = vf_zero();
    for (ptrdiff_t k = 0; k < c;) {
        const ptrdiff_t stop = c - k < RN_SUM_VECTORS ? c : k + RN_SUM_VECTORS;
        vf part = vf_zero();
        for (; k < stop; k++) {
            vf e = v_exp(vf_sub(vf_load_first(x + k * stride, count), shift));
            vf_store_first(y + k * stride, count, e);
            part = vf_add(part, e);
        }
        sum = vf_add(sum, part);
    }
    vf factor = vf_div(vf_set(1.0f), sum);
    for (ptrdiff_t k = 0; k < c; k++) vf_store_first(y + k * stride, count, vf_mul(vf_load_first(y + k * stride, count), factor));
}

KERNEL(softmax) {
    const rn_softmax_args *a = arguments;
    (void)scratch;
    if (a->s == 1) {
        const ptrdiff_t end = (tile + 1) * a->rows < a->n ? (tile + 1) * a->rows : a->n;
        for (ptrdiff_t i = tile * a->rows; i < end; i++) softmax_row(a->x + i * a->c, a->y + i * a->c, a->c);
        return;
    }
    const ptrdiff_t blocks = (a->s + RN_SOFTMAX_POSITIONS - 1) / RN_SOFTMAX_POSITIONS;
    const ptrdiff_t i = tile / blocks, begin = tile % blocks * RN_SOFTMAX_POSITIONS;
    const ptrdiff_t end = begin + RN_SOFTMAX_POSITIONS < a->s ? begin + RN_SOFTMAX_POSITIONS : a->s;
    for (ptrdiff_t p = begin; p < end; p += VL) {
        const ptrdiff_t at = i * a->c * a->s + p;
        softmax_columns(a->x + at, a->y + at, a->c, a->s, end - p);
    }
}

/* dx = y (dy - sum y dy) over n neighbours. */
static inline void softmax_gradient_row(const float *y, const float *dy, float *dx, ptrdiff_t n) {
    double dot = 0.0;
    for (ptrdiff_t j = 0; j < n;) {
        const ptrdiff_t stop = n - j < RN_SUM_VECTORS * VL ? n : j + RN_SUM_VECTORS * VL;
        vf part = vf_zero();
        for (; j < stop; j += VL) part = vf_fma(vf_load_first(y + j, n - j), vf_load_first(dy + j, n - j), part);
        dot += vf_sum_double(part);
    }
    const vf mean = vf_set((float)dot);
    for (ptrdiff_t j = 0; j < n; j += VL) {
        vf d = vf_sub(vf_load_first(dy + j, n - j), mean);
        vf_store_first(dx + j, n - j, vf_mul(vf_load_first(y + j, n - j), d));
    }
}

static inline void softmax_gradient_columns(const float *y, const float *dy, float *dx, ptrdiff_t c, ptrdiff_t stride,
                                            ptrdiff_t count) {
    vf dot = vf_zero();
    for (ptrdiff_t k = 0; k < c;) {
        const ptrdiff_t stop = c - k < RN_SUM_VECTORS ? c : k + RN_SUM_VECTORS;
        vf part = vf_zero();
        for (; k < stop; k++) part = vf_fma(vf_load_first(y + k * stride, count), vf_load_first(dy + k * stride, count), part);
        dot = vf_add(dot, part);
    }
    for (ptrdiff_t k = 0; k < c; k++) {
        vf d = vf_sub(vf_load_first(dy + k * stride, count), dot);
        vf_store_first(dx + k * stride, count, vf_mul(vf_load_first(y + k * stride, count), d));
    }
}

KERNEL(softmax_gradient) {
    const rn_softmax_gradient_args *a = arguments;
    (void)scratch;
    if (a->s == 1) {
        const ptrdiff_t end = (tile + 1) * a->rows < a->n ? (tile + 1) * a->rows : a->n;
        for (ptrdiff_t i = tile * a->rows; i < end; i++)
            softmax_gradient_row(a->y + i * a->c, a->dy + i * a->c, a->dx + i * a->c, a->c);
        return;
    }
    const ptrdiff_t blocks = (a->s + RN_SOFTMAX_POSITIONS - 1) / RN_SOFTMAX_POSITIONS;
    const ptrdiff_t i = tile / blocks, begin = tile % blocks * RN_SOFTMAX_POSITIONS;
    const ptrdiff_t end = begin + RN_SOFTMAX_POSITIONS < a->s ? begin + RN_SOFTMAX_POSITIONS : a->s;
    for (ptrdiff_t p = begin; p < end; p += VL) {
        const ptrdiff_t at = i * a->c * a->s + p;
        softmax_gradient_columns(a->y + at, a->dy + at, a->dx + at, a->c, a->s, end - p);
    }
}
