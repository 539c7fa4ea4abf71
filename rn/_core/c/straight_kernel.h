/* The micro-kernel where k runs straight on: in one run, over a packed panel of b, along rows of a that are contiguous or lie
 * beside each other: packed, a[i, k] = row[0][k * rows + i], or in place, a[i, k] = row[0][k * a_step + i].
 *
 * Most steps are constants, so that a loop can take several k at once, and little but multiply-adds and their loads is left. The
 * sums are the chains of the other micro-kernels. */
typedef enum { ALONG_ROWS, PACKED_BESIDE, BESIDE } straight_way;

enum { STRAIGHT_STEPS = 4 };
enum { STRAIGHT_ROWS = VL < SHORT_ROWS ? VL : ROWS }; /* a vector holds one k of rows that are packed */
/* Up to one vector of columns takes more rows where there are 32 registers: 14 sums, and more would gain little. */
enum { TAKES_SINGLE = VL == 16, SINGLE_ROWS = TAKES_SINGLE ? 14 : (int)STRAIGHT_ROWS, FOURS = (SINGLE_ROWS + 3) / 4 };
enum { GOES_STRAIGHT = (int)STRAIGHT_ROWS == (int)ROWS }; /* whether other products take these kernels too */

/* One k: a value of each row times a line of b. */
static RN_ALWAYS_INLINE void add_straight(const int rows, const int vectors, const float *const row[ROWS], const ptrdiff_t at,
                                          const float *b, vf sum[ROWS][VECTORS]) {
    vf line[VECTORS];
    RN_UNROLL
    for (int j = 0; j < vectors; j++) line[j] = vf_load_ordered(b + j * VL);
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        const vf a = vf_set_ordered(row[i] + at);
        RN_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = vf_fma_ordered(a, line[j], sum[i][j]);
    }
}

/* The same of lines of two panels. */
static RN_ALWAYS_INLINE void add_pair(const int rows, const float *const row[ROWS], const ptrdiff_t at, const float *b,
                                      const float *beside, vf sum[2][ROWS][VECTORS]) {
    const vf line[4] = {vf_load_ordered(b), vf_load_ordered(b + VL), vf_load_ordered(beside), vf_load_ordered(beside + VL)};
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        const vf a = vf_set_ordered(row[i] + at);
        RN_UNROLL
        for (int v = 0; v < 4; v++) sum[v / 2][i][v % 2] = vf_fma_ordered(a, line[v], sum[v / 2][i][v % 2]);
    }
}

/* STRAIGHT_STEPS k, from `at`, *b and *beside on. */
static RN_ALWAYS_INLINE void add_pairs(const int rows, const int in_place, const float *const row[ROWS], ptrdiff_t *at,
                                       const ptrdiff_t step, const float **b, const ptrdiff_t b_step, const float **beside,
                                       vf sum[2][ROWS][VECTORS]) {
    RN_OPAQUE(*at);
    RN_OPAQUE(*b);
    if (!in_place) RN_OPAQUE(*beside);
    RN_UNROLL
    for (int k = 0; k < STRAIGHT_STEPS; k++, *at += step, *b += b_step)
        add_pair(rows, row, *at, *b, in_place ? *b + PANEL : *beside + k * PANEL, sum);
    *beside += STRAIGHT_STEPS * PANEL;
}

static RN_ALWAYS_INLINE void sum_straight(const int rows, const int vectors, const straight_way way, const micro_tile *t,
                                          const float *b, vf sum[ROWS][VECTORS]) {
    const float *row[ROWS];
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        row[i] = way == ALONG_ROWS ? t->row[i] : t->row[0] + i;
        RN_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = vf_zero();
    }
    const ptrdiff_t step = way == ALONG_ROWS ? 1 : way == PACKED_BESIDE ? rows : t->a_step;
    ptrdiff_t at = 0, left = t->run;
    for (; left >= STRAIGHT_STEPS; left -= STRAIGHT_STEPS, at += STRAIGHT_STEPS * step, b += STRAIGHT_STEPS * PANEL) {
        RN_OPAQUE(at);
        RN_OPAQUE(b);
        RN_UNROLL
        for (int k = 0; k < STRAIGHT_STEPS; k++) add_straight(rows, vectors, row, at + k * step, b + k * PANEL, sum);
    }
    for (; left > 0; left--, at += step, b += PANEL) add_straight(rows, vectors, row, at, b, sum);
}

static RN_ALWAYS_INLINE void multiply_straight(const int rows, const int vectors, const straight_way way, const micro_tile *t) {
    vf sum[ROWS][VECTORS];
    sum_straight(rows, vectors, way, t, t->b, sum);
    finish_tile(rows, vectors, sum, t, 0, t->columns - (vectors - 1) * VL);
}

/* One k of up to one vector of columns, of rows `row` floats apart, of which every fourth is pointed at. */
static RN_ALWAYS_INLINE void add_single(const int rows, const float *const four[FOURS], ptrdiff_t row, ptrdiff_t three_rows,
                                        const int k, const float *b, vf sum[SINGLE_ROWS][VECTORS]) {
    RN_OPAQUE(row); /* or the way from a pointer to each k of each row would take a register */
    RN_OPAQUE(three_rows);
    const vf line = vf_load_ordered(b);
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        const float *a = four[i / 4] + k;
        sum[i][0] = vf_fma_ordered(vf_set_ordered(i % 4 == 3 ? a + three_rows : a + i % 4 * row), line, sum[i][0]);
    }
}

/* More rows than there are registers to point at times up to one vector of columns: each value of a is used once there, so that
 * loads are what takes time, and those of b are fewer the more rows there are. */
static RN_ALWAYS_INLINE void multiply_single(const int rows, const micro_tile *t) {
    vf sum[SINGLE_ROWS][VECTORS];
    const float *four[FOURS], *b = t->b;
    const ptrdiff_t row = t->row[1] - t->row[0];
    RN_UNROLL
    for (int i = 0; 4 * i < rows; i++) four[i] = t->row[0] + 4 * i * row;
    RN_UNROLL
    for (int i = 0; i < rows; i++) sum[i][0] = vf_zero();
    ptrdiff_t left = t->run;
    for (; left >= STRAIGHT_STEPS; left -= STRAIGHT_STEPS, b += STRAIGHT_STEPS * PANEL) {
        RN_OPAQUE(b);
        RN_UNROLL
        for (int k = 0; k < STRAIGHT_STEPS; k++) add_single(rows, four, row, 3 * row, k, b + k * PANEL, sum);
        RN_UNROLL
        for (int i = 0; 4 * i < rows; i++) {
            four[i] += STRAIGHT_STEPS;
            RN_OPAQUE(four[i]);
        }
    }
    for (; left > 0; left--, b += PANEL) {
        add_single(rows, four, row, 3 * row, 0, b, sum);
        RN_UNROLL
        for (int i = 0; 4 * i < rows; i++) four[i]++;
    }
    finish_tile(rows, 1, sum, t, 0, t->columns);
}

/* The same rows times one whole panel after the other. */
static RN_ALWAYS_INLINE void multiply_straight_row(const int rows, const micro_tile *t) {
    ptrdiff_t panel = 0;
    do {
        vf sum[ROWS][VECTORS];
        sum_straight(rows, 2, ALONG_ROWS, t, t->b + panel * t->b_beside, sum);
        finish_tile(rows, 2, sum, t, panel * PANEL, VL);
    } while (++panel < t->panels);
}

/* Copy a k of two panels, side by side in b, to where they are packed, and ask for one further down: its four lines share a page
 * and are used so soon that nothing pushes them out. */
enum { PAIRS_AHEAD = 8 };
static RN_ALWAYS_INLINE void pack_pair(const float *b, const ptrdiff_t b_step, float *pack, float *beside) {
    RN_UNROLL
    for (int v = 0; v < 4; v++) {
        RN_PREFETCH(b + PAIRS_AHEAD * b_step + v * VL);
        vf_store((v < 2 ? pack : beside) + v % 2 * VL, vf_load(b + v * VL));
    }
}

/* The same for two whole panels: fewer loads for each multiply-add. Few rows have too few chains in one panel to hide their
 * waits. Unless they are packed the panels are neighbours, from any `column` on, of b where it lies; TO_PACK leaves them packed,
 * which takes less time than packing one after the other. asks: there may be rows between steps. */
typedef enum { PAIR_PACKED, PAIR_IN_PLACE, PAIR_TO_PACK } pair_place;
static RN_ALWAYS_INLINE void multiply_pair(const int rows, const straight_way way, const pair_place place, const int asks,
                                           const micro_tile *t, const ptrdiff_t column) {
    const int neighbours = place != PAIR_PACKED;
    vf sum[2][ROWS][VECTORS];
    const float *row[ROWS], *b = t->b + column, *beside = b + (neighbours ? PANEL : t->b_beside);
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        row[i] = way == ALONG_ROWS ? t->row[i] : t->row[0] + i;
        RN_UNROLL
        for (int v = 0; v < 4; v++) sum[v / 2][i][v % 2] = vf_zero();
    }
    const ptrdiff_t step = way == ALONG_ROWS ? 1 : t->a_step, b_step = neighbours ? t->b_step : PANEL;
    ptrdiff_t at = 0, left = t->run;
    if (place == PAIR_TO_PACK) {
        float *pack = t->pack, *pack_beside = pack + t->b_beside;
        for (; left > 0; left--, at += step, b += b_step, pack += PANEL, pack_beside += PANEL) {
            pack_pair(b, b_step, pack, pack_beside);
            add_pair(rows, row, at, b, b + PANEL, sum);
        }
    }
    if (ASKS_BETWEEN && asks && t->between != NULL) {
        for (const row_between *r = t->between->row; r->lines > 0; r++) {
            const float *ask = r->from;
            for (ptrdiff_t lines = r->lines; lines > 0; lines -= LINES_BETWEEN, left -= STRAIGHT_STEPS) {
                RN_UNROLL
                for (int l = 0; l < LINES_BETWEEN; l++, ask += LINE_FLOATS) RN_PREFETCH(ask);
                add_pairs(rows, neighbours, row, &at, step, &b, b_step, &beside, sum);
            }
        }
    }
    for (; left >= STRAIGHT_STEPS; left -= STRAIGHT_STEPS) add_pairs(rows, neighbours, row, &at, step, &b, b_step, &beside, sum);
    for (; left > 0; left--, at += step, b += b_step, beside += PANEL)
        add_pair(rows, row, at, b, neighbours ? b + PANEL : beside, sum);
    finish_tile(rows, 2, sum[0], t, column, VL);
    finish_tile(rows, 2, sum[1], t, column + PANEL, VL);
}

/* The same rows times all columns of a b in place, two panels at least, into a c that is overwritten: pair by pair from column
 * t->head on. What is left over at either end passes as whole vectors, with columns that pass twice, to the same sums: that takes
 * less time than a tile of its own. */
static RN_ALWAYS_INLINE void multiply_whole_row(const int rows, const micro_tile *t) {
    const ptrdiff_t columns = t->columns;
    ptrdiff_t j = t->head;
    if (j > 0) multiply_at(rows, 1, t, 0);
    for (; columns - j >= 2 * PANEL; j += 2 * PANEL) multiply_pair(rows, ALONG_ROWS, PAIR_IN_PLACE, 0, t, j);
    for (; columns - j > VL; j += PANEL) multiply_at(rows, 2, t, least(j, columns - PANEL));
    if (columns > j) multiply_at(rows, 1, t, columns - VL);
}

#define MICRO(rows) \
    static RN_NO_INLINE void multiply_straight_##rows##x1(const micro_tile *t) { multiply_straight(rows, 1, ALONG_ROWS, t); } \
    static RN_NO_INLINE void multiply_straight_##rows##x2(const micro_tile *t) { multiply_straight(rows, 2, ALONG_ROWS, t); } \
    static RN_NO_INLINE void multiply_straight_row_##rows##x2(const micro_tile *t) { multiply_straight_row(rows, t); } \
    static RN_NO_INLINE void multiply_packed_##rows##x1(const micro_tile *t) { multiply_straight(rows, 1, PACKED_BESIDE, t); } \
    static RN_NO_INLINE void multiply_packed_##rows##x2(const micro_tile *t) { multiply_straight(rows, 2, PACKED_BESIDE, t); } \
    static RN_NO_INLINE void multiply_beside_##rows##x1(const micro_tile *t) { multiply_straight(rows, 1, BESIDE, t); } \
    static RN_NO_INLINE void multiply_beside_##rows##x2(const micro_tile *t) { multiply_straight(rows, 2, BESIDE, t); }
MICRO(1)
MICRO(2)
MICRO(3)
MICRO(4)
#if VL == 16
MICRO(5)
MICRO(6)
MICRO(7)
MICRO(8)
#define TALL(name, vectors) , name##_5x##vectors, name##_6x##vectors, name##_7x##vectors, name##_8x##vectors
#elif VL > 4
MICRO(5)
MICRO(6)
#define TALL(name, vectors) , name##_5x##vectors, name##_6x##vectors
#else
#define TALL(name, vectors)
#endif
#undef MICRO

#if VL == 16
#define MICRO(rows) \
    static RN_NO_INLINE void multiply_single_##rows(const micro_tile *t) { multiply_single(rows, t); }
MICRO(9)
MICRO(10)
MICRO(11)
MICRO(12)
MICRO(13)
MICRO(14)
#undef MICRO
#define SINGLE , multiply_single_9, multiply_single_10, multiply_single_11, multiply_single_12, multiply_single_13, multiply_single_14
#else
#define SINGLE
#endif

/* By vectors and rows. */
#define LIST(name, vectors) \
    name##_1x##vectors, name##_2x##vectors, name##_3x##vectors, name##_4x##vectors TALL(name, vectors)
#define EACH_ROWS(name, vectors) { LIST(name, vectors) }
static const micro_kernel STRAIGHT_KERNELS[2][STRAIGHT_ROWS] = {EACH_ROWS(multiply_straight, 1), EACH_ROWS(multiply_straight, 2)};
static const micro_kernel SINGLE_KERNELS[SINGLE_ROWS] = {LIST(multiply_straight, 1) SINGLE};
static const micro_kernel STRAIGHT_ROW_KERNELS[STRAIGHT_ROWS] = EACH_ROWS(multiply_straight_row, 2);
static const micro_kernel PACKED_KERNELS[2][STRAIGHT_ROWS] = {EACH_ROWS(multiply_packed, 1), EACH_ROWS(multiply_packed, 2)};
static const micro_kernel BESIDE_KERNELS[2][STRAIGHT_ROWS] = {EACH_ROWS(multiply_beside, 1), EACH_ROWS(multiply_beside, 2)};
#undef EACH_ROWS
#undef LIST
#undef SINGLE
#undef TALL

#define PAIR(name, rows, way, place, asks) \
    static RN_NO_INLINE void name##_##rows(const micro_tile *t) { multiply_pair(rows, way, place, asks, t, 0); }
#define MICRO(rows) \
    static RN_NO_INLINE void multiply_whole_row_##rows(const micro_tile *t) { multiply_whole_row(rows, t); } \
    PAIR(multiply_pair, rows, ALONG_ROWS, PAIR_PACKED, 1) \
    PAIR(multiply_pair_in_place, rows, ALONG_ROWS, PAIR_IN_PLACE, 1) \
    PAIR(multiply_pair_packing, rows, ALONG_ROWS, PAIR_TO_PACK, 0) \
    PAIR(multiply_beside_pair, rows, BESIDE, PAIR_PACKED, 1) \
    PAIR(multiply_beside_pair_in_place, rows, BESIDE, PAIR_IN_PLACE, 1) \
    PAIR(multiply_beside_pair_packing, rows, BESIDE, PAIR_TO_PACK, 0)
MICRO(1)
MICRO(2)
#if VL == 16
MICRO(3)
MICRO(4)
MICRO(5)
MICRO(6)
#define TALL(name) , name##_3, name##_4, name##_5, name##_6
#else
#define TALL(name)
#endif
#undef MICRO
#undef PAIR
#define EACH_ROWS(name) { name##_1, name##_2 TALL(name) }
static const micro_kernel WHOLE_ROW_KERNELS[PAIR_ROWS] = EACH_ROWS(multiply_whole_row);
/* By whether rows lie beside each other, pair_place, and rows. */
static const micro_kernel PAIR_KERNELS[2][3][PAIR_ROWS] = {
    {EACH_ROWS(multiply_pair), EACH_ROWS(multiply_pair_in_place), EACH_ROWS(multiply_pair_packing)},
    {EACH_ROWS(multiply_beside_pair), EACH_ROWS(multiply_beside_pair_in_place), EACH_ROWS(multiply_beside_pair_packing)},
};
#undef EACH_ROWS
#undef TALL
