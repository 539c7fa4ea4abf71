/* Kernels that only move elements: slices, broadcasts, transposes. */

KERNEL(copy_block) {
    const rn_copy_args *args = arguments;
    (void)scratch;
    const rn_walk *w = &args->walk;
    const ptrdiff_t x_step = w->a[3], y_step = w->b[3];
    for (walk_row r = first_row(w, tile); r.count > 0; next_row(w, &r)) {
        const float *x = args->x + r.a;
        float *y = args->y + r.b;
        if (x_step == 1 && y_step == 1) {
            memcpy(y, x, (size_t)r.count * sizeof(float));
        } else if (x_step == 0 && y_step == 1) {
            const vf value = vf_set(*x);
            for (ptrdiff_t i = 0; i < r.count; i += VL) vf_store_first(y + i, r.count - i, value);
        } else {
            for (ptrdiff_t i = 0; i < r.count; i++) y[i * y_step] = x[i * x_step];
        }
    }
}

static inline void fill_row(float *y, ptrdiff_t n, vf value) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vf_store(y + i, value);
    if (i < n) vf_store_first(y + i, n - i, value);
}

static inline void move_row(float *y, const float *x, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vf_store(y + i, vf_load(x + i));
    if (i < n) vf_store_first(y + i, n - i, vf_load_first(x + i, n - i));
}

/* The same for rows of less than two vectors. */
static inline void move_short_rows(float *y, ptrdiff_t y_row, const float *x, ptrdiff_t x_row, ptrdiff_t rows, ptrdiff_t n) {
    const int whole = n > VL;
    const ptrdiff_t rest = whole ? n - VL : n;
    const vm mask = vm_first(rest);
    for (; rows > 0; rows--, x += x_row, y += y_row) {
        if (whole) vf_store(y, vf_load(x));
        vf_store_first(y + whole * VL, rest, vf_load_masked(x + whole * VL, mask));
    }
}

/* Rows so long that the C library, which can write lines without reading them before, is faster in spite of its way in. */
enum { LONG_ROW_FLOATS = 1024 };

/* Short rows, an image's at once, go over a tile that was filled whole; others get their ends one by one. */
KERNEL(pad) {
    const rn_pad_args *args = arguments;
    (void)scratch;
    const rn_walk *w = &args->walk;
    const ptrdiff_t *before = args->before, *lengths = args->lengths;
    const vf value = vf_set(args->value);
    const int fill_first = w->shape[3] < 2 * VL, zeros = args->value == 0.0f && !signbit(args->value);
    walk_row r = first_row(w, tile);
    if (fill_first && r.at < r.end) fill_row(args->y + r.at, r.end - r.at, value);
    for (; r.count > 0; next_row(w, &r)) {
        const ptrdiff_t from = r.a - r.row_a - before[3]; /* the piece's first column in x's row */
        const ptrdiff_t left = from < 0 ? -from : 0;
        ptrdiff_t count = least(r.count, lengths[3] - from) - left;
        for (int i = 0; i < 3; i++)
            if ((size_t)(r.index[i] - before[i]) >= (size_t)lengths[i]) count = 0; /* below `before` it is huge */
        float *y = args->y + r.at;
        if (fill_first) {
            if (count <= 0) continue;
            const int whole = r.count == w->shape[3];
            const ptrdiff_t rows = whole ? least(before[2] + lengths[2] - r.index[2], (r.end - r.at) / w->shape[3]) : 1;
            move_short_rows(y + left, w->shape[3], args->x + r.a + left, w->a[2], rows, count);
            pass_rows(w, &r, rows - 1);
        } else if (count > 0) {
            fill_row(y, left, value);
            if (count < LONG_ROW_FLOATS)
                move_row(y + left, args->x + r.a + left, count);
            else
                memcpy(y + left, args->x + r.a + left, (size_t)count * sizeof(float));
            fill_row(y + left + count, r.count - left - count, value);
        } else if (zeros && r.count >= LONG_ROW_FLOATS) {
            memset(y, 0, (size_t)r.count * sizeof(float));
        } else {
            fill_row(y, r.count, value);
        }
    }
}

KERNEL(narrow) {
    const rn_narrow_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * RN_ELEMENT_TILE, a->n);
    ptrdiff_t i = tile * RN_ELEMENT_TILE;
    for (; i + VL <= end; i += VL) vf_store(a->y + i, vd_to_float(vd_load(a->x + i)));
    for (; i < end; i++) a->y[i] = (float)a->x[i];
}

/* VL x VL at a time through registers; a block of x is one cache line wide, so that each line read is used up at once. */
KERNEL(transpose_planes) {
    const rn_transpose_args *a = arguments;
    (void)scratch;
    enum { BLOCK = 16 };
    const ptrdiff_t strips = (a->rows + RN_TRANSPOSE_ROWS - 1) / RN_TRANSPOSE_ROWS;
    const ptrdiff_t plane = tile / strips, p = plane / a->outer[1], q = plane % a->outer[1];
    const ptrdiff_t begin = tile % strips * RN_TRANSPOSE_ROWS, end = least(begin + RN_TRANSPOSE_ROWS, a->rows);
    const float *x = a->x + p * a->x_outer[0] + q * a->x_outer[1];
    float *y = a->y + p * a->y_outer[0] + q * a->y_outer[1];
    for (ptrdiff_t block = 0; block < a->columns; block += BLOCK) {
        const ptrdiff_t block_end = least(block + BLOCK, a->columns);
        for (ptrdiff_t j = begin; j < end; j += VL) {
            for (ptrdiff_t i = block; i < block_end; i += VL) {
                vf r[VL];
                for (int k = 0; k < VL; k++) {
                    const float *from = x + (i + k) * a->x_stride + j;
                    r[k] = i + k < block_end ? vf_load_first(from, end - j) : vf_zero();
                }
                vf_transpose(r);
                for (int k = 0; k < VL && j + k < end; k++) vf_store_first(y + (j + k) * a->y_stride + i, block_end - i, r[k]);
            }
        }
    }
}
