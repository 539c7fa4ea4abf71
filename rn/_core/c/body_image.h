/* Whole images: shifted inside a larger or smaller frame, enlarged, dropped, summed; and two tensors added. */

static void shift_plane(const rn_shift_args *a, const float *x, float *y) {
    const ptrdiff_t first = a->left > 0 ? a->left : 0, end = least(a->ow, a->left + a->w); /* columns of y that x reaches */
    const ptrdiff_t columns = end > first ? end - first : 0;
    for (ptrdiff_t i = 0; i < a->oh; i++, y += a->ow) {
        const ptrdiff_t row = i - a->top;
        if (row < 0 || row >= a->h || columns == 0) {
            memset(y, 0, (size_t)a->ow * sizeof *y);
            continue;
        }
        memset(y, 0, (size_t)first * sizeof *y);
        memcpy(y + first, x + row * a->w + first - a->left, (size_t)columns * sizeof *y);
        memset(y + first + columns, 0, (size_t)(a->ow - first - columns) * sizeof *y);
    }
}

KERNEL(shift_planes) {
    const rn_shift_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * a->group, a->planes);
    for (ptrdiff_t p = tile * a->group; p < end; p++) shift_plane(a, a->x + p * a->h * a->w, a->y + p * a->oh * a->ow);
}

/* Each of n numbers `times` times in a row. */
static void repeat_each(const float *x, ptrdiff_t n, ptrdiff_t times, float *y) {
    ptrdiff_t j = 0;
    if (times == 2) {
        for (; j + VL <= n; j += VL) {
            vf high, low = vf_interleave(vf_load(x + j), vf_load(x + j), &high);
            vf_store(y + 2 * j, low);
            vf_store(y + 2 * j + VL, high);
        }
    }
    for (; j < n; j++)
        for (ptrdiff_t v = 0; v < times; v++) y[j * times + v] = x[j];
}

KERNEL(upsample) {
    const rn_upsample_args *a = arguments;
    (void)scratch;
    const ptrdiff_t width = a->w * a->sw, begin = tile * a->group * a->h, end = least((tile + 1) * a->group, a->planes) * a->h;
    for (ptrdiff_t row = begin; row < end; row++) {
        float *to = a->large + row * a->sh * width;
        repeat_each(a->small + row * a->w, a->w, a->sw, to);
        for (ptrdiff_t u = 1; u < a->sh; u++) memcpy(to + u * width, to, (size_t)width * sizeof *to);
    }
}

/* sum[j] (+)= x[j times] + … + x[j times + times - 1], j < n. */
static void add_groups(const float *x, ptrdiff_t n, ptrdiff_t times, int add, float *sum) {
    ptrdiff_t j = 0;
    if (times == 2) {
        for (; j + VL <= n; j += VL) {
            const vf low = vf_load(x + 2 * j), high = vf_load(x + 2 * j + VL);
            const vf so_far = add ? vf_load(sum + j) : vf_zero();
            vf_store(sum + j, vf_add(vf_add(so_far, vf_even(low, high)), vf_odd(low, high)));
        }
    }
    for (; j < n; j++) {
        float total = add ? sum[j] : 0.0f;
        for (ptrdiff_t v = 0; v < times; v++) total += x[j * times + v];
        sum[j] = total;
    }
}

KERNEL(upsample_gradient) {
    const rn_upsample_args *a = arguments;
    (void)scratch;
    const ptrdiff_t width = a->w * a->sw, begin = tile * a->group * a->h, end = least((tile + 1) * a->group, a->planes) * a->h;
    for (ptrdiff_t row = begin; row < end; row++)
        for (ptrdiff_t u = 0; u < a->sh; u++)
            add_groups(a->large + (row * a->sh + u) * width, a->w, a->sw, u > 0, a->small + row * a->w);
}

/* Word `element` of the generator. */
static uint32_t random_word(const rn_step *step, uint32_t purpose, uint64_t element) {
    uint32_t counter[4] = {(uint32_t)(element / 4), (uint32_t)(element / 4 >> 32), (uint32_t)step->step, purpose};
    rn_philox(counter, step->seed);
    return counter[element % 4];
}

KERNEL(dropout_planes) {
    const rn_dropout_planes_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * a->group, a->planes);
    for (ptrdiff_t p = tile * a->group; p < end; p++) {
        const float *x = a->x + p * a->size;
        float *y = a->y + p * a->size;
        if (random_word(a->step, a->purpose, (uint64_t)p) < a->threshold) {
            memset(y, 0, (size_t)a->size * sizeof *y);
            continue;
        }
        for (ptrdiff_t i = 0; i < a->size; i += VL)
            vf_store_first(y + i, a->size - i, vf_mul(vf_load_first(x + i, a->size - i), vf_set(a->scale)));
    }
}

KERNEL(sum_planes) {
    const rn_sum_planes_args *a = arguments;
    (void)scratch;
    double total = 0.0;
    for (ptrdiff_t i = 0; i < a->n; i++) total += row_sum(a->x + (i * a->channels + tile) * a->size, a->size, 0.0f);
    a->total[tile] = (float)total;
}

KERNEL(add_pair) {
    const rn_add_pair_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * RN_ELEMENT_TILE, a->n);
    for (ptrdiff_t i = tile * RN_ELEMENT_TILE; i < end; i += VL)
        vf_store_first(a->y + i, end - i, vf_add(vf_load_first(a->a + i, end - i), vf_load_first(a->b + i, end - i)));
}
