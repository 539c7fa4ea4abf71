KERNEL(fill) {
    const rn_fill_args *a = arguments;
    (void)scratch;
    ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    vf value = vf_set(a->value);
    for (ptrdiff_t i = begin; i < end; i += VL) vf_store_first(a->y + i, end - i, value);
}

/* A number less itself is 0, of infinities and NaN NaN: so are sums of these. No store can change `own`, so its pointers stay in
 * registers. */
/* Whether none of n numbers is NaN or infinite; copied as well where asked. */
static RN_ALWAYS_INLINE int all_finite(const int copying, const float *from, ptrdiff_t n, float *to) {
    vf sum = vf_zero(), other = vf_zero(); /* two chains hide each other's waits */
    ptrdiff_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        const vf numbers = vf_load(from + i), more = vf_load(from + i + VL);
        stream_ahead(from + i, 2 * VL);
        sum = vf_add(sum, vf_sub(numbers, numbers));
        other = vf_add(other, vf_sub(more, more));
        if (copying) vf_store(to + i, numbers);
        if (copying) vf_store(to + i + VL, more);
    }
    sum = vf_add(sum, other);
    for (; i < n; i += VL) {
        const vf numbers = vf_load_first(from + i, n - i);
        sum = vf_add(sum, vf_sub(numbers, numbers));
        if (copying) vf_store_first(to + i, n - i, numbers);
    }
    return !vm_any(vf_is_nan(sum));
}

KERNEL(copy_finite) {
    const rn_copy_finite_args *a = arguments;
    (void)scratch, (void)tile;
    *a->good = a->to ? all_finite(1, a->from, a->n, a->to) : all_finite(0, a->from, a->n, NULL);
}

KERNEL(gather_rows) {
    const rn_gather_args *a = arguments;
    (void)scratch;
    ptrdiff_t begin = tile * RN_GATHER_ROWS;
    ptrdiff_t end = begin + RN_GATHER_ROWS < a->rows ? begin + RN_GATHER_ROWS : a->rows;
    for (ptrdiff_t i = begin; i < end; i++)
        memcpy(a->y + i * a->row_size, a->source + a->order[i] * a->row_size, (size_t)a->row_size * sizeof(float));
}
