KERNEL(fill) {
    const rn_fill_args *a = arguments;
    (void)scratch;
    ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    vf value = vf_set(a->value);
    for (ptrdiff_t i = begin; i < end; i += VL) vf_store_first(a->y + i, end - i, value);
}
