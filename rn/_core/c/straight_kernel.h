/* The micro-kernel where k runs straight on: in one run, over a packed panel of b, along rows of a that are contiguous or lie
 * beside each other: packed, a[i, k] = row[0][k * rows + i], or in place, a[i, k] = row[0][k * a_step + i].
 *
 * Most steps are constants, so that a loop can take several k at once, and little but multiply-adds and their loads is left. The
 * sums are the chains of the other micro-kernels. */
typedef enum { ALONG_ROWS, PACKED_BESIDE, BESIDE } straight_way;

enum { STRAIGHT_STEPS = 4 };
enum { STRAIGHT_ROWS = VL < SHORT_ROWS ? VL : SHORT_ROWS }; /* a vector holds one k of rows that are packed */
/* Whether other products take these kernels too; not measured on AVX-512. */
enum { GOES_STRAIGHT = (int)STRAIGHT_ROWS == (int)ROWS };

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

/* The same rows times one whole panel after the other. */
static RN_ALWAYS_INLINE void multiply_straight_row(const int rows, const micro_tile *t) {
    ptrdiff_t panel = 0;
    do {
        vf sum[ROWS][VECTORS];
        sum_straight(rows, 2, ALONG_ROWS, t, t->b + panel * t->b_beside, sum);
        finish_tile(rows, 2, sum, t, panel, VL);
    } while (++panel < t->panels);
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
#if VL > 4
MICRO(5)
MICRO(6)
#define TALL(name, vectors) , name##_5x##vectors, name##_6x##vectors
#else
#define TALL(name, vectors)
#endif
#undef MICRO

/* By vectors and rows. */
#define EACH_ROWS(name, vectors) \
    { name##_1x##vectors, name##_2x##vectors, name##_3x##vectors, name##_4x##vectors TALL(name, vectors) }
static const micro_kernel STRAIGHT_KERNELS[2][STRAIGHT_ROWS] = {EACH_ROWS(multiply_straight, 1), EACH_ROWS(multiply_straight, 2)};
static const micro_kernel STRAIGHT_ROW_KERNELS[STRAIGHT_ROWS] = EACH_ROWS(multiply_straight_row, 2);
static const micro_kernel PACKED_KERNELS[2][STRAIGHT_ROWS] = {EACH_ROWS(multiply_packed, 1), EACH_ROWS(multiply_packed, 2)};
static const micro_kernel BESIDE_KERNELS[2][STRAIGHT_ROWS] = {EACH_ROWS(multiply_beside, 1), EACH_ROWS(multiply_beside, 2)};
#undef EACH_ROWS
#undef TALL
