/* Normalisation of every sample by its own mean and deviation (Ba, Kiros and Hinton 2016). */

/* A row's mean as a float and the rest that rounding took off it: with a mean of 1e3 and a deviation of 0.1 the rest is what the
 * third digit of (x - mean) / deviation hangs on. */
typedef struct {
    vf mean, rest, scale;
} row_moments;

static inline row_moments load_moments(const float *m) { return (row_moments){vf_set(m[0]), vf_set(m[1]), vf_set(m[2])}; }
static inline vf away_from_mean(vf x, row_moments m) { return vf_sub(vf_sub(x, m.mean), m.rest); }

/* The sum of (x - mean)^2 over n neighbours. */
static inline double row_squares(const float *x, ptrdiff_t n, row_moments m) {
    double sum = 0.0;
    for (ptrdiff_t j = 0; j < n;) {
        const ptrdiff_t stop = least(n, j + RN_SUM_VECTORS * VL);
        vf part = vf_zero();
        for (; j < stop; j += VL) {
            const vf d = vf_where(vm_first(n - j), away_from_mean(vf_load_first(x + j, n - j), m));
            part = vf_fma(d, d, part);
        }
        sum += vf_sum_double(part);
    }
    return sum;
}

static inline vf load_or(const float *p, ptrdiff_t count, float otherwise) {
    return p != NULL ? vf_load_first(p, count) : vf_set(otherwise);
}

KERNEL(layer_norm) {
    const rn_layer_norm_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * a->rows, a->n);
    for (ptrdiff_t i = tile * a->rows; i < end; i++) {
        const float *x = a->x + i * a->c;
        float *y = a->y + i * a->c;
        /* Counted from one of the row's numbers: a sum of differences as small as the deviation loses none of them. */
        const double mean = (double)x[0] + row_sum(x, a->c, x[0]) / (double)a->c;
        float kept[3] = {(float)mean, (float)(mean - (double)(float)mean), 0.0f};
        kept[2] = (float)(1.0 / sqrt(row_squares(x, a->c, load_moments(kept)) / (double)a->c + (double)a->epsilon));
        const row_moments m = load_moments(kept);
        for (ptrdiff_t j = 0; j < a->c; j += VL) {
            const ptrdiff_t left = a->c - j;
            const vf h = vf_mul(away_from_mean(vf_load_first(x + j, left), m), m.scale);
            const vf weight = load_or(a->weight != NULL ? a->weight + j : NULL, left, 1.0f);
            vf_store_first(y + j, left, vf_fma(weight, h, load_or(a->bias != NULL ? a->bias + j : NULL, left, 0.0f)));
        }
        if (a->moments != NULL) memcpy(a->moments + 3 * i, kept, sizeof kept);
    }
}

KERNEL(layer_norm_gradient) {
    const rn_layer_norm_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * a->rows, a->n);
    for (ptrdiff_t i = tile * a->rows; i < end; i++) {
        const float *x = a->x + i * a->c, *dy = a->dy + i * a->c;
        float *dx = a->dx + i * a->c;
        const row_moments m = load_moments(a->moments + 3 * i);
        double sum = 0.0, dot = 0.0; /* of g, and of g with h */
        for (ptrdiff_t j = 0; j < a->c;) {
            const ptrdiff_t stop = least(a->c, j + RN_SUM_VECTORS * VL);
            vf sum_part = vf_zero(), dot_part = vf_zero();
            for (; j < stop; j += VL) {
                const ptrdiff_t left = a->c - j;
                const vf weight = load_or(a->weight != NULL ? a->weight + j : NULL, left, 1.0f);
                const vf g = vf_mul(weight, vf_load_first(dy + j, left));
                sum_part = vf_add(sum_part, vf_where(vm_first(left), g));
                const vf h = vf_mul(away_from_mean(vf_load_first(x + j, left), m), m.scale);
                dot_part = vf_fma(vf_where(vm_first(left), g), h, dot_part);
            }
            sum += vf_sum_double(sum_part);
            dot += vf_sum_double(dot_part);
        }
        const vf mean_g = vf_set((float)(sum / (double)a->c)), mean_gh = vf_set((float)(dot / (double)a->c));
        for (ptrdiff_t j = 0; j < a->c; j += VL) {
            const ptrdiff_t left = a->c - j;
            const vf weight = load_or(a->weight != NULL ? a->weight + j : NULL, left, 1.0f);
            const vf g = vf_mul(weight, vf_load_first(dy + j, left));
            const vf h = vf_mul(away_from_mean(vf_load_first(x + j, left), m), m.scale);
            vf_store_first(dx + j, left, vf_mul(m.scale, vf_fnma(h, mean_gh, vf_sub(g, mean_g))));
        }
    }
}

KERNEL(layer_norm_weights) {
    const rn_layer_norm_weights_args *a = arguments;
    (void)scratch;
    const ptrdiff_t stop = least((tile + 1) * RN_SUM_COLUMNS, a->c);
    for (ptrdiff_t j = tile * RN_SUM_COLUMNS; j < stop; j += VL) {
        const ptrdiff_t left = stop - j;
        vf dweight = vf_zero(), dbias = vf_zero();
        for (ptrdiff_t begin = 0; begin < a->n; begin += RN_KC) {
            vf weight_block = vf_zero(), bias_block = vf_zero();
            for (ptrdiff_t i = begin; i < least(begin + RN_KC, a->n); i++) {
                const row_moments m = load_moments(a->moments + 3 * i);
                const vf dy = vf_load_first(a->dy + i * a->c + j, left);
                const vf h = vf_mul(away_from_mean(vf_load_first(a->x + i * a->c + j, left), m), m.scale);
                weight_block = vf_fma(dy, h, weight_block);
                bias_block = vf_add(bias_block, dy);
            }
            dweight = vf_add(dweight, weight_block);
            dbias = vf_add(dbias, bias_block);
        }
        vf_store_first(a->dweight + j, left, dweight);
        if (a->dbias != NULL) vf_store_first(a->dbias + j, left, dbias);
    }
}
