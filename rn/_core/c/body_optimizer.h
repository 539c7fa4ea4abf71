KERNEL(sgd) {
    const rn_sgd_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    const vf rate = vf_set(a->step->learning_rate), momentum = vf_set(a->momentum), decay = vf_set(a->weight_decay);
    for (ptrdiff_t i = begin; i < end; i += VL) {
        vf p = vf_load_first(a->parameters + i, end - i);
        vf g = vf_fma(decay, p, vf_load_first(a->gradients + i, end - i));
        if (a->velocity) {
            vf v = vf_fma(momentum, vf_load_first(a->velocity + i, end - i), g);
            vf_store_first(a->velocity + i, end - i, v);
            g = a->nesterov ? vf_fma(momentum, v, g) : v;
        }
        vf_store_first(a->parameters + i, end - i, vf_fnma(rate, g, p));
    }
}

/* b^t by squaring. */
static inline double whole_power(double b, uint64_t t) {
    double power = 1.0;
    for (; t; t >>= 1, b *= b)
        if (t & 1) power *= b;
    return power;
}

KERNEL(adam) {
    const rn_adam_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    const uint64_t t = a->step->update ? a->step->update : 1;
    const double learning_rate = a->step->learning_rate;
    const vf rate = vf_set((float)(learning_rate / (1.0 - whole_power(a->beta_1, t))));
    const vf correction = vf_set((float)(1.0 / sqrt(1.0 - whole_power(a->beta_2, t))));
    const vf epsilon = vf_set(a->epsilon);
    const vf mean_kept = vf_set((float)a->beta_1), mean_new = vf_set((float)(1.0 - a->beta_1));
    const vf variance_kept = vf_set((float)a->beta_2), variance_new = vf_set((float)(1.0 - a->beta_2));
    const vf decay = vf_set(a->decoupled ? 0.0f : (float)a->weight_decay);
    const vf shrink = vf_set(a->decoupled ? (float)(1.0 - learning_rate * a->weight_decay) : 1.0f);
    for (ptrdiff_t i = begin; i < end; i += VL) {
        vf p = vf_load_first(a->parameters + i, end - i);
        vf g = vf_fma(decay, p, vf_load_first(a->gradients + i, end - i));
        vf m = vf_fma(mean_kept, vf_load_first(a->mean + i, end - i), vf_mul(mean_new, g));
        vf v = vf_fma(variance_kept, vf_load_first(a->variance + i, end - i), vf_mul(variance_new, vf_mul(g, g)));
        vf_store_first(a->mean + i, end - i, m);
        vf_store_first(a->variance + i, end - i, v);
        vf change = vf_div(m, vf_fma(vf_sqrt(v), correction, epsilon));
        vf_store_first(a->parameters + i, end - i, vf_fnma(rate, change, vf_mul(p, shrink)));
    }
}
