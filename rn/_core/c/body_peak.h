/* What the machine can do at best, for the profiler's roofline. */

enum { PEAK_SUMS = 12 };

KERNEL(peak_arithmetic) {
    const rn_peak_args *a = arguments;
    (void)scratch;
    const vf factor = vf_set(0.999f), term = vf_set(1e-3f);
    vf sum[PEAK_SUMS];
    RN_UNROLL
    for (int i = 0; i < PEAK_SUMS; i++) sum[i] = vf_set((float)i);
    for (ptrdiff_t turn = 0; turn < a->turns; turn++) {
        RN_UNROLL
        for (int i = 0; i < PEAK_SUMS; i++) sum[i] = vf_fma(sum[i], factor, term);
    }
    vf all = sum[0];
    for (int i = 1; i < PEAK_SUMS; i++) all = vf_add(all, sum[i]);
    a->sink[tile * RN_SINK] = vf_sum(all);
}

KERNEL(peak_reading) {
    const rn_peak_args *a = arguments;
    (void)scratch;
    enum { SUMS = 8 };
    const float *x = a->x + tile * a->n;
    vf sum[SUMS];
    for (int i = 0; i < SUMS; i++) sum[i] = vf_zero();
    for (ptrdiff_t turn = 0; turn < a->turns; turn++) {
        for (ptrdiff_t j = 0; j + SUMS * VL <= a->n; j += SUMS * VL) {
            RN_UNROLL
            for (int i = 0; i < SUMS; i++) sum[i] = vf_add(sum[i], vf_load(x + j + i * VL));
        }
    }
    for (int i = 1; i < SUMS; i++) sum[0] = vf_add(sum[0], sum[i]);
    a->sink[tile * RN_SINK] = vf_sum(sum[0]);
}
