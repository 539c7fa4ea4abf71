#include "pack.h"

#include "micro_kernel.h"

/* Sets of rows, see sets_of_rows: how many there may be, and the rows and columns that are worth one. */
enum { MOST_SETS = 4, FEWEST_IN_SET = SHORT_ROWS, FEWEST_BY_LINES = 6 * PANEL };
enum { PAGE_FLOATS = 1024, NEXT_TO_PAGE = 4 * LINE_FLOATS };

/* How `rows` pass the first of `columns` columns, and how many panels these are. */
static panel_way way_of(const micro_tile *t, const rn_gemm_args *a, ptrdiff_t left_row, ptrdiff_t rows, ptrdiff_t columns,
                        ptrdiff_t *panels) {
    *panels = 1;
    if (rows > FEW_ROWS) {
        if (a->right_panels || a->right_in_place) *panels = panels_in_row(a->k, columns);
        if (*panels > 1) return ROW_OF_PANELS;
    } else if (!a->right_panels) {
        return a->right_column != 1 && columns >= PANEL ? TURNED_PANEL : ONE_PANEL;
    }
    if ((VL < 16 && rows > PAIR_ROWS) || columns < 2 * PANEL || (t->a_step != 1 && left_row != 1)) return ONE_PANEL;
    *panels = 2;
    return PAIR_OF_PANELS;
}

/* Let t read the t->columns columns from `column` on, right[begin + p, column + j]: in place, or in `own`, where they are packed
 * unless an earlier strip of rows did that. What lies by rows is packed by the first tile of rows on its way. */
static void take_panel(micro_tile *t, const rn_gemm_args *a, panel_way way, ptrdiff_t begin, ptrdiff_t column, int packed,
                       float *own) {
    const ptrdiff_t columns = t->columns;
    t->pack = NULL;
    t->b = own;
    t->b_step = PANEL;
    if (a->right_panels) {
        t->b = a->right + column * a->k + begin * PANEL;
        t->b_beside = a->k * PANEL;
        return;
    }
    const float *right = a->right + begin * a->right_step + column * a->right_column;
    t->b_beside = KC * PANEL;
    if (way == ROW_OF_PANELS || way == TURNED_PANEL || (a->right_in_place && columns % PANEL == 0)) {
        t->b = right;
        t->b_step = way == TURNED_PANEL ? a->right_column : a->right_step;
        t->b_beside = PANEL;
    } else if (packed) {
        return;
    } else if (a->right_column != 1) {
        for (ptrdiff_t j = 0; j < columns; j += PANEL)
            pack_transposed(right + j * a->right_column, a->right_column, t->run, least(PANEL, columns - j), own + j * KC, PANEL);
    } else if (columns >= PANEL || (PACKS_PARTS && columns > VL)) {
        t->b = right;
        t->b_step = a->right_step;
        t->pack = own;
    } else {
        pack_panel(right, a->right_step, t->run, columns, own);
    }
}

/* The strip of rows after the one from `left` on, of `rows` that the block still has, to be asked for while that one passes. */
static rows_ahead next_strip(const rn_gemm_args *a, const float *left, ptrdiff_t left_row, ptrdiff_t rows, ptrdiff_t k,
                             ptrdiff_t columns) {
    return (rows_ahead){.from = left + a->strip * left_row,
                        .count = rows > a->strip ? least(a->strip, rows - a->strip) : 0,
                        .row = left_row,
                        .n = k,
                        .work = a->strip * ((columns + PANEL - 1) / PANEL)};
}

/* One block of k: `rows` of left, left_row floats apart, times all columns of the tile, into c. */
static void multiply_block(micro_tile *t, const rn_gemm_args *a, const float *left, ptrdiff_t left_row, ptrdiff_t rows,
                           ptrdiff_t begin, ptrdiff_t first_column, ptrdiff_t columns, const float *row_bias, float *panels,
                           float *c) {
    const ptrdiff_t c_row = t->c_row;
    rows_ahead next;
    for (ptrdiff_t i = 0; i < rows; i += a->strip) {
        if (ASKS_BETWEEN && a->strip < rows) {
            next = next_strip(a, left + i * left_row, left_row, rows - i, t->run, columns);
            t->next = &next;
        }
        for (ptrdiff_t j = 0; j < columns; j += t->columns) {
            const panel_way way = way_of(t, a, left_row, rows, columns - j, &t->panels);
            t->columns = least(t->panels * PANEL, columns - j);
            take_panel(t, a, way, begin, first_column + j, i > 0, a->strip < rows ? panels + j * KC : panels);
            t->column_bias = a->column_bias != NULL ? a->column_bias + first_column + j : NULL;
            multiply_panel(t, way, left + i * left_row, left_row, least(a->strip, rows - i), c + i * c_row + j,
                           row_bias != NULL ? row_bias + i : NULL);
        }
    }
    if (ASKS_BETWEEN) t->next = NULL;
}

/* All rows of a, a_row floats apart, times the t->columns columns of b in place, into rows of c. */
static void multiply_whole_rows(micro_tile *t, const float *a, ptrdiff_t a_row, ptrdiff_t rows, float *c, const float *row_bias) {
    t->c = c;
    t->row_bias = row_bias;
    for (ptrdiff_t left = rows, take; left > 0; left -= take) {
        take = next_rows(left, PAIR_ROWS);
        for (ptrdiff_t i = 0; i < take; i++, a += a_row) t->row[i] = a;
        WHOLE_ROW_KERNELS[take - 1](t);
        t->c += take * t->c_row;
        if (row_bias != NULL) t->row_bias += take;
    }
    activate_rest(t, rows, c);
}

/* Into how many sets rows of c fall that begin equally far from a line of the cache; 0 where taking them by these does not pay:
 * for few rows or columns, where those of a set, a page apart, meet in the cache, or fill tiles badly. One set is the rows as
 * they come. */
static ptrdiff_t sets_of_rows(ptrdiff_t c_row, ptrdiff_t rows, ptrdiff_t columns) {
    ptrdiff_t sets = 1;
    while (c_row * sets % LINE_FLOATS != 0) sets *= 2;
    const ptrdiff_t past_page = c_row * sets % PAGE_FLOATS;
    const int meet = sets > 1 && (past_page < NEXT_TO_PAGE || past_page > PAGE_FLOATS - NEXT_TO_PAGE);
    const ptrdiff_t in_set = (rows + sets - 1) / sets;
    const int small_tiles = sets > 1 && in_set > SHORT_ROWS && in_set < SHORT_ROWS + 3; /* two of 4 rows where one has 6 */
    return sets <= MOST_SETS && rows >= FEWEST_IN_SET * sets && columns >= FEWEST_BY_LINES && !meet && !small_tiles ? sets : 0;
}

/* multiply_whole_rows by sets of rows of a far c: from the first line that begins in a row on, each vector is one, for a vector
 * across two costs twice. */
static void multiply_sets(micro_tile *t, ptrdiff_t sets, const float *a, ptrdiff_t a_row, ptrdiff_t rows, float *c) {
    const ptrdiff_t c_row = t->c_row;
    t->c_row = c_row * sets;
    for (ptrdiff_t i = 0; i < sets; i++, a += a_row, c += c_row) {
        const ptrdiff_t past_line = (ptrdiff_t)((uintptr_t)c / sizeof(float) % LINE_FLOATS);
        t->head = past_line > 0 ? LINE_FLOATS - past_line : 0;
        multiply_whole_rows(t, a, a_row * sets, (rows - i + sets - 1) / sets, c, NULL);
    }
    t->c_row = c_row;
}

/* A tile of short chains, of at least two panels: all columns in one call, or even parts of b that stay in the first cache. */
static void multiply_short_chains(micro_tile *t, const rn_gemm_args *a, const float *left, ptrdiff_t left_row, ptrdiff_t rows,
                                  ptrdiff_t first_column, ptrdiff_t columns, const float *row_bias, float *c) {
    const ptrdiff_t parts = (a->k * columns + NEAR_FLOATS - 1) / NEAR_FLOATS;
    const ptrdiff_t part = (columns + parts * PANEL - 1) / (parts * PANEL) * PANEL;
    const ptrdiff_t sets = t->c_far && row_bias == NULL ? sets_of_rows(t->c_row, rows, part) : 0;
    t->b_step = a->right_step;
    for (ptrdiff_t j = 0; j < columns; j += t->columns) {
        t->columns = columns - j < part + 2 * PANEL ? columns - j : part; /* the last has two panels, too */
        t->b = a->right + first_column + j;
        t->column_bias = a->column_bias != NULL ? a->column_bias + first_column + j : NULL;
        if (sets > 0)
            multiply_sets(t, sets, left, left_row, rows, c + j);
        else
            multiply_whole_rows(t, left, left_row, rows, c + j, row_bias);
    }
}

/* Whether what is read of b after a block of k is asked for meanwhile: where strips of rows pass it, and where it is packed in
 * pairs of panels, which so many rows pass that they have time for the lines of the next. */
enum { FEWEST_TO_ASK = 96 };
static int asks_for_later(const rn_gemm_args *a, ptrdiff_t rows, ptrdiff_t columns) {
    const int pairs = ASKS_BETWEEN && rows >= FEWEST_TO_ASK && columns >= 2 * PANEL && !a->right_in_place;
    return (a->strip < rows || pairs) && a->right_column == 1 && !a->right_panels;
}

/* The rows of right that come after the block of k before `end`: the next block's, or the first of the tile beside this one. By
 * then it is so long since their neighbours were used that they are in no near cache. */
static rows_ahead later_rows(const rn_gemm_args *a, ptrdiff_t end, ptrdiff_t first_column, ptrdiff_t rows, ptrdiff_t columns) {
    const ptrdiff_t begin = end < a->k ? end : 0, column = end < a->k ? first_column : first_column + a->column_block;
    const ptrdiff_t n = least(a->column_block, a->n - column);
    return (rows_ahead){.from = a->right + begin * a->right_step + column,
                        .count = n > 0 ? least(least(KC, a->k - begin), MOST_AHEAD / n) : 0,
                        .row = a->right_step,
                        .n = n,
                        .work = rows * ((columns + PANEL - 1) / PANEL)};
}

KERNEL(gemm) {
    const rn_gemm_args *a = arguments;
    const ptrdiff_t first_row = tile / a->column_tiles * a->row_block, first_column = tile % a->column_tiles * a->column_block;
    const ptrdiff_t rows = least(a->row_block, a->m - first_row), columns = least(a->column_block, a->n - first_column);
    float *panels = scratch; /* those at hand, or those of all columns for all strips */
    float *packed = panels + KC * (a->strip < a->row_block ? a->column_block : RN_PAIR); /* [rows, KC]: left, if packed */
    float *turned = packed + (a->left_packed ? a->row_block * KC : 0); /* [rows, column_block] where c is transposed */

    micro_tile t = {.a_step = a->left_packed ? 1 : a->left_step, .runs = 1, .activation = a->activation, .alpha = a->alpha};
    float *c = a->c + first_row * a->c_row + first_column;
    t.c_row = a->c_row;
    t.c_far = rows * columns > NEAR_FLOATS;
    if (a->transposed) {
        c = turned;
        t.c_row = a->column_block;
        if (a->accumulate) transpose(a->c + first_column * a->c_row + first_row, a->c_row, columns, rows, c, t.c_row);
    }
    const float *row_bias = a->row_bias != NULL ? a->row_bias + first_row : NULL;
    const int finishes = row_bias != NULL || a->column_bias != NULL || a->activation != RN_LINEAR;

    rows_ahead later;
    ptrdiff_t begin = 0;
    do {
        const ptrdiff_t k = least(KC, a->k - begin);
        const float *left = a->left + first_row * a->left_row + begin * a->left_step;
        ptrdiff_t left_row = a->left_row;
        t.run = k;
        t.add = a->accumulate || begin > 0;
        t.finish = finishes && begin + k == a->k;
        if (a->left_packed) {
            transpose(left, a->left_step, k, rows, packed, KC);
            left = packed;
            left_row = KC;
        }
        if (asks_for_later(a, rows, columns)) {
            later = later_rows(a, begin + k, first_column, rows, columns);
            t.later = &later;
        }
        if (a->whole_rows && rows > FEW_ROWS && columns >= 2 * PANEL) /* of one block of k */
            multiply_short_chains(&t, a, left, left_row, rows, first_column, columns, row_bias, c);
        else
            multiply_block(&t, a, left, left_row, rows, begin, first_column, columns, row_bias, panels, c);
        begin += k;
    } while (begin < a->k);
    if (a->transposed) transpose(turned, t.c_row, rows, columns, a->c + first_column * a->c_row + first_row, a->c_row);
}

KERNEL(gemm_blocks) {
    const rn_gemm_args *a = arguments;
    const ptrdiff_t begin = tile / a->column_tiles * KC, first_column = tile % a->column_tiles * a->column_block;
    micro_tile t = {.a_step = 1, .runs = 1, .run = least(KC, a->k - begin), .c_row = a->n};
    multiply_block(&t, a, a->left + begin, a->k, 1, begin, first_column, least(a->column_block, a->n - first_column), NULL,
                   scratch, a->c + tile / a->column_tiles * a->n + first_column);
}

KERNEL(add_blocks) {
    const rn_add_blocks_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_SUM_COLUMNS, end = least(begin + RN_SUM_COLUMNS, a->n);
    for (ptrdiff_t j = begin; j < end; j += VL) {
        const float *x = a->x + j;
        vf sum = vf_load_first(x, end - j);
        for (ptrdiff_t b = 1; b < a->blocks; b++) sum = vf_add(sum, vf_load_first(x += a->n, end - j));
        if (a->bias != NULL) sum = vf_add(sum, vf_load_first(a->bias + j, end - j));
        vf_store_first(a->c + j, end - j, sum);
    }
    if (a->activation != RN_LINEAR) activate_span(a->activation, a->alpha, a->c + begin, a->c + begin, end - begin);
}

KERNEL(pack_columns) {
    const rn_pack_columns_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * RN_PANEL, a->n);
    for (ptrdiff_t j = tile * RN_PANEL; j < end; j += PANEL)
        pack_transposed(a->from + j * a->k, a->k, a->k, least(PANEL, end - j), a->to + j * a->k, PANEL);
}

KERNEL(sum_rows) {
    const rn_sum_rows_args *a = arguments;
    (void)scratch;
    const ptrdiff_t j = tile * RN_SUM_COLUMNS, columns = least(RN_SUM_COLUMNS, a->n - j);
    for (ptrdiff_t at = 0; at < columns; at += 2 * VL) {
        const ptrdiff_t left = columns - at;
        float *total = a->total + j + at;
        vf sum[2];
        for (int v = 0; v < 2; v++)
            sum[v] = a->accumulate && left > v * VL ? vf_load_first(total + v * VL, left - v * VL) : vf_zero();
        for (ptrdiff_t begin = 0; begin < a->m; begin += RN_KC) {
            const ptrdiff_t end = least(begin + RN_KC, a->m);
            const float *x = a->x + begin * a->n + j + at;
            vf block[2] = {vf_zero(), vf_zero()};
            if (left >= 2 * VL) {
                for (ptrdiff_t i = begin; i < end; i++, x += a->n) {
                    block[0] = vf_add(block[0], vf_load(x));
                    block[1] = vf_add(block[1], vf_load(x + VL));
                }
            } else {
                const vm first = vm_first(left), second = vm_first(left > VL ? left - VL : 0);
                for (ptrdiff_t i = begin; i < end; i++, x += a->n) {
                    block[0] = vf_add(block[0], vf_load_masked(x, first));
                    block[1] = vf_add(block[1], vf_load_masked(x + VL, second));
                }
            }
            sum[0] = vf_add(sum[0], block[0]);
            sum[1] = vf_add(sum[1], block[1]);
        }
        vf_store_first(total, left, sum[0]);
        if (left > VL) vf_store_first(total + VL, left - VL, sum[1]);
    }
}
