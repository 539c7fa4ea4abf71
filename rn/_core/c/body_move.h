KERNEL(fill) {
    const rn_fill_args *a = arguments;
    (void)scratch;
    ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    vf value = vf_set(a->value);
    for (ptrdiff_t i = begin; i < end; i += VL) vf_store_first(a->y + i, end - i, value);
}

KERNEL(copy_finite) {
    const rn_copy_finite_args *a = arguments;
    (void)scratch;
    (void)tile;
    vm wrong = vm_first(0);
    for (ptrdiff_t i = 0; i < a->n; i += VL) {
        const vf numbers = vf_load_first(a->from + i, a->n - i);
        wrong = vm_or(wrong, vf_is_nan(vf_sub(numbers, numbers))); /* that of an infinity is NaN, too */
        vf_store_first(a->to + i, a->n - i, numbers);
    }
    *a->good = !vm_any(wrong);
}

KERNEL(gather_rows) {
    const rn_gather_args *a = arguments;
    (void)scratch;
    ptrdiff_t begin = tile * RN_GATHER_ROWS;
    ptrdiff_t end = begin + RN_GATHER_ROWS < a->rows ? begin + RN_GATHER_ROWS : a->rows;
    for (ptrdiff_t i = begin; i < end; i++)
        memcpy(a->y + i * a->row_size, a->source + a->order[i] * a->row_size, (size_t)a->row_size * sizeof(float));
}
