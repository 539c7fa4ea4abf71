/* Products of large matrices. Both operands are packed, so that the micro-kernel reads two streams of memory and no more: b into
 * panels, once for all tiles; a for each block of k of a tile, the rows of a micro-tile beside each other. What that takes is
 * little among so many products. Rows of a that are read where they lie push each other out of the first cache where they are a
 * page apart, and 1024^3 takes 1.1 times as long. The sums are those of `gemm`. */

/* How many of the rows left go into the next tile, where they are packed as where they are used. */
static inline ptrdiff_t next_packed(ptrdiff_t left) { return next_rows(left, STRAIGHT_ROWS); }

/* All rows of a tile, tile of rows by tile of rows, each p of one beside each other: from[i * row + p * step], one of which is 1.
 * Writes up to VL - 1 floats behind them. */
static void pack_tiles(const float *from, ptrdiff_t row, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t k, float *to) {
    if (step == 1) {
        for (ptrdiff_t i = 0, take; i < rows; i += take) { /* in this order, for each writes into the next */
            take = next_packed(rows - i);
            pack_transposed(from + i * row, row, k, take, to + i * k, take);
        }
        return;
    }
    for (ptrdiff_t p = 0; p < k; p++, from += step) /* one line after the other, for they lie far apart */
        for (ptrdiff_t i = 0, take; i < rows; i += take) {
            take = next_packed(rows - i);
            vf_store_first(to + i * k + p * take, take, vf_load_first(from + i, take));
        }
}

/* `rows` of a, packed, times the panel at hand. */
static void multiply_packed(micro_tile *t, const float *packed, ptrdiff_t rows, float *c, const float *row_bias) {
    t->c = c;
    t->row_bias = row_bias;
    for (ptrdiff_t i = 0, take; i < rows; i += take) {
        take = next_packed(rows - i);
        t->row[0] = packed + i * t->run;
        ask_for_rows(ASK_TO_WRITE, t->c, t->c_row, t->columns, 0, take);
        PACKED_KERNELS[t->columns > VL][take - 1](t);
        t->c += take * t->c_row;
        if (row_bias != NULL) t->row_bias += take;
    }
    activate_rest(t, rows, c);
}

KERNEL(gemm_packed) {
    const rn_gemm_args *a = arguments;
    const ptrdiff_t first_row = tile * a->row_block, rows = least(a->row_block, a->m - first_row);
    float *packed = scratch, *c = a->c + first_row * a->c_row;
    const float *row_bias = a->row_bias != NULL ? a->row_bias + first_row : NULL;
    micro_tile t = {.activation = a->activation, .alpha = a->alpha, .c_row = a->c_row};
    for (ptrdiff_t begin = 0; begin < a->k; begin += KC) {
        t.run = least(KC, a->k - begin);
        t.add = a->accumulate || begin > 0;
        t.finish = begin + t.run == a->k;
        const float *left = a->left + first_row * a->left_row + begin * a->left_step;
        pack_tiles(left, a->left_row, a->left_step, rows, t.run, packed);
        for (ptrdiff_t j = 0; j < a->n; j += t.columns) {
            t.columns = least(PANEL, a->n - j);
            t.b = a->right + j * a->k + begin * PANEL;
            t.column_bias = a->column_bias != NULL ? a->column_bias + j : NULL;
            multiply_packed(&t, packed, rows, c + j, row_bias);
        }
    }
}

KERNEL(pack_rows) {
    const rn_pack_columns_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * RN_PANEL, a->n);
    for (ptrdiff_t j = tile * RN_PANEL; j < end; j += PANEL)
        pack_panel(a->from + j, a->n, a->k, least(PANEL, end - j), a->to + j * a->k);
}
