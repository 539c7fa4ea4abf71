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
KERNEL(copy_finite) {
    const rn_copy_finite_args own = *(const rn_copy_finite_args *)arguments, *const a = &own;
    (void)scratch;
    (void)tile;
    vf sum = vf_zero(), other = vf_zero(); /* two chains hide each other's waits */
    ptrdiff_t i = 0;
    for (; i + 2 * VL <= a->n; i += 2 * VL) {
        const vf numbers = vf_load(a->from + i), more = vf_load(a->from + i + VL);
        sum = vf_add(sum, vf_sub(numbers, numbers));
        other = vf_add(other, vf_sub(more, more));
        vf_store(a->to + i, numbers);
        vf_store(a->to + i + VL, more);
    }
    sum = vf_add(sum, other);
    for (; i < a->n; i += VL) {
        const vf numbers = vf_load_first(a->from + i, a->n - i);
        sum = vf_add(sum, vf_sub(numbers, numbers));
        vf_store_first(a->to + i, a->n - i, numbers);
    }
    *a->good = !vm_any(vf_is_nan(sum));
}

KERNEL(gather_rows) {
    const rn_gather_args *a = arguments;
    (void)scratch;
    ptrdiff_t begin = tile * RN_GATHER_ROWS;
    ptrdiff_t end = begin + RN_GATHER_ROWS < a->rows ? begin + RN_GATHER_ROWS : a->rows;
    for (ptrdiff_t i = begin; i < end; i++)
        memcpy(a->y + i * a->row_size, a->source + a->order[i] * a->row_size, (size_t)a->row_size * sizeof(float));
}
