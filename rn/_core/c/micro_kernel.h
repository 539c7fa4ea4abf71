/* The heart of matrix products and convolutions: a small tile of C held in registers while k runs.
 *
 *   c[i, j] (+)= sum_k a[i, k] b[k, j],   i < rows,   j < columns <= vectors * VL
 *
 * Every output is one chain of fused multiply-adds over k, started from 0, whatever rows and vectors are: the bits of an output
 * do not depend on the tile it was computed in. Callers cut k in blocks of KC, counted from 0, and add each block's chain to
 * c: that order, too, is the same everywhere.
 *
 * Registers (16): rows * vectors sums, vectors of b, one broadcast of a. 6 * 2 + 2 + 1 = 15. Two multiply-adds a cycle of latency
 * 4 want 8 chains at least: 6 x 2, 5 x 2, 4 x 2 and 3 x 3, 4 x 3 have them. AVX-512 has 32 registers, and 8 rows read b less
 * often; but the way in and out of such a tile is longer, so that only long chains along contiguous rows of a take them, and rows
 * of panels, which go in once. Of one vector along contiguous rows there are up to 14: SINGLE_ROWS. Two panels at once, 6 x 4,
 * take 34 instructions for 24 multiply-adds where 8 x 2 takes 26 for 16: what counts where another process shares the core. */

enum { ROWS = VL == 16 ? 8 : 6, SHORT_ROWS = 6, LONG_CHAIN = 32, SHORT_CHAIN = VL == 16 ? 24 : 32, VECTORS = 3 };
/* Steps of k that a loop takes before it asks whether it is over. Two take 0.9 to 1.0 times as long as one on Zen 3; more do not
 * fit into 16 registers as compilers order them: see straight_kernel.h. */
enum { AT_ONCE = VL == 16 ? 4 : 2 };
/* Rows of b that are asked for before they are packed on the way. More, which may lie a page apart, would push each other out of
 * the second cache before they are used: 64 x 1024 x 576 took 1.1 times as long on Zen 3. Where that cache has 2 MB none gain. */
enum { ROWS_AHEAD = VL == 16 ? 0 : 32 };
enum { ASKS_BETWEEN = VL == 16 }; /* whether pairs of panels, which many rows pass there, ask for lines between their steps */
enum { PACKS_PARTS = VL == 16 };  /* whether a panel's last vector may be less than whole where it is packed */

/* One tile. All memory is the caller's; a is read in place, so its rows may lie anywhere. */
typedef struct {
    const float *row[ROWS];   /* a[i, 0]; of rows packed beside each other the first alone, of more than ROWS so many */
    ptrdiff_t a_step, a_turn; /* floats of a from one k to the next, and from one run of k to the next */
    ptrdiff_t run, runs;      /* k = runs * run */
    const float *b;           /* b[k, j], b_step floats from one k to the next; read up to a whole vector */
    ptrdiff_t panels;         /* passed in one call; of a row, whole ones; not read for whole rows */
    ptrdiff_t head;           /* columns of a whole row before its first pair, less than VL */
    ptrdiff_t b_beside;       /* floats from a panel of b to the next, of a row or a pair */
    float *pack;              /* NULL, or where the first rows leave b, packed, for those after them */
    ptrdiff_t b_step, b_turn; /* b_turn more from the last k of a run to the first of the next */
    float *c;                 /* c[i, j], c_row floats from one row to the next; exactly columns of it are touched */
    ptrdiff_t c_row, columns; /* of a panel, (vectors - 1) * VL < columns <= vectors * VL; of a row, all */
    int add;                  /* to what c holds; else c is overwritten */
    int c_far;                /* c is not in the first cache */
    int finish;               /* this was the last block of k: add the biases, apply the activation, if there are any */
    const float *row_bias;    /* NULL: none */
    const float *column_bias; /* NULL: none; exactly columns are read */
    int activation;           /* rn_activation; those beyond RN_LEAKY_RELU are left to activate_rest */
    float alpha;
    rows_ahead *later;           /* NULL, or what is read when all panels at hand have been passed */
    rows_ahead *next;            /* NULL, or the next strip of rows of a */
    const rows_between *between; /* NULL, or what a pair of panels asks for on its way, see ASKS_BETWEEN */
} micro_tile;

typedef void (*micro_kernel)(const micro_tile *t);

/* What the sums of the panel from `column` on become: added to c where there are blocks of k before, biased, activated, stored.
 * `tail` columns are of the last vector. */
static RN_ALWAYS_INLINE void finish_tile(const int rows, const int vectors, vf sum[][VECTORS], const micro_tile *t,
                                         const ptrdiff_t column, const ptrdiff_t tail) {
    float *c = t->c + column;
    const ptrdiff_t c_row = t->c_row;
    if (t->add) {
        const float *old = c;
        RN_UNROLL
        for (int i = 0; i < rows; i++, old += c_row) {
            RN_UNROLL
            for (int j = 0; j < vectors; j++)
                sum[i][j] = vf_add(j < vectors - 1 ? vf_load(old + j * VL) : vf_load_first(old + j * VL, tail), sum[i][j]);
        }
    }
    if (t->finish) {
        if (t->row_bias != NULL) {
            RN_UNROLL
            for (int i = 0; i < rows; i++) {
                vf bias = vf_set(t->row_bias[i]);
                RN_UNROLL
                for (int j = 0; j < vectors; j++) sum[i][j] = vf_add(sum[i][j], bias);
            }
        }
        if (t->column_bias != NULL) {
            const float *biases = t->column_bias + column;
            RN_UNROLL
            for (int j = 0; j < vectors; j++) {
                vf bias = vf_load_first(biases + j * VL, j < vectors - 1 ? VL : tail);
                RN_UNROLL
                for (int i = 0; i < rows; i++) sum[i][j] = vf_add(sum[i][j], bias);
            }
        }
        if (t->activation == RN_RELU) {
            RN_UNROLL
            for (int i = 0; i < rows; i++) {
                RN_UNROLL
                for (int j = 0; j < vectors; j++) sum[i][j] = vf_max(vf_zero(), sum[i][j]);
            }
        } else if (t->activation == RN_LEAKY_RELU) {
            vf alpha = vf_set(t->alpha);
            RN_UNROLL
            for (int i = 0; i < rows; i++) {
                RN_UNROLL
                for (int j = 0; j < vectors; j++)
                    sum[i][j] = vf_select(vf_lt(sum[i][j], vf_zero()), vf_mul(alpha, sum[i][j]), sum[i][j]);
            }
        }
    }
    RN_OPAQUE(c); /* or all rows' addresses were worked out before the sums are added, and would not fit into registers */
    if (tail == VL) {
        RN_UNROLL
        for (int i = 0; i < rows; i++, c += c_row) {
            RN_UNROLL
            for (int j = 0; j < vectors; j++) vf_store(c + j * VL, sum[i][j]);
        }
    } else {
        RN_UNROLL
        for (int i = 0; i < rows; i++, c += c_row) {
            RN_UNROLL
            for (int j = 0; j < vectors - 1; j++) vf_store(c + j * VL, sum[i][j]);
            vf_store_part(c + (vectors - 1) * VL, tail, sum[i][vectors - 1]);
        }
    }
}

/* One k: row i's a[i, at] times a line of b. Packing: each vector of b is stored as it is read, and a line further down is
 * asked for, which costs next to nothing beside the products. */
static RN_ALWAYS_INLINE void add_line(const int rows, const int vectors, const int packing, const float *const row[ROWS],
                                      ptrdiff_t at, const float *b, ptrdiff_t b_step, vm last, float *pack,
                                      vf sum[ROWS][VECTORS]) {
    vf line[VECTORS];
    if (packing && ROWS_AHEAD > 0) RN_PREFETCH_FAR(b + ROWS_AHEAD * b_step);
    RN_UNROLL
    for (int j = 0; j < vectors; j++) {
        line[j] = packing && PACKS_PARTS && j == vectors - 1 ? vf_load_masked(b + j * VL, last) : vf_load(b + j * VL);
        if (packing) vf_store(pack + j * VL, line[j]);
    }
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        vf value = vf_set(row[i][at]);
        RN_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = vf_fma(value, line[j], sum[i][j]);
    }
}

/* The sums over b, of so many runs of k. */
static RN_ALWAYS_INLINE void sum_products(const int rows, const int vectors, const int packing, const micro_tile *t,
                                          const ptrdiff_t runs, const float *b, vf sum[ROWS][VECTORS]) {
    const float *row[ROWS];
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        row[i] = t->row[i];
        RN_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = vf_zero();
    }
    float *pack = t->pack;
    const vm last = vm_first(t->columns - (vectors - 1) * VL);
    const ptrdiff_t b_step = t->b_step, a_step = t->a_step, pack_step = packing ? PANEL : 0;
    for (ptrdiff_t r = 0; r < runs; r++) {
        if (r > 0) b += t->b_turn;
        ptrdiff_t at = r * t->a_turn, left = t->run;
        for (; left >= AT_ONCE; left -= AT_ONCE) {
            RN_UNROLL
            for (int k = 0; k < AT_ONCE; k++, at += a_step, b += b_step, pack += pack_step) {
                add_line(rows, vectors, packing, row, at, b, b_step, last, pack, sum);
                if (AT_ONCE > 1 || rows > SHORT_ROWS) RN_OPAQUE(at);
                if (AT_ONCE > 1) RN_OPAQUE(b);
            }
        }
        for (; left > 0; left--, at += a_step, b += b_step, pack += pack_step)
            add_line(rows, vectors, packing, row, at, b, b_step, last, pack, sum);
    }
}

static RN_ALWAYS_INLINE void multiply_tile(const int rows, const int vectors, const int packing, const micro_tile *t) {
    vf sum[ROWS][VECTORS];
    const ptrdiff_t runs = rows > SHORT_ROWS ? 1 : t->runs; /* so many rows are taken along one run alone */
    sum_products(rows, vectors, packing, t, runs, t->b, sum);
    finish_tile(rows, vectors, sum, t, 0, t->columns - (vectors - 1) * VL);
}

/* The same rows times one whole panel after the other, for short chains are over before the way in and out is. One run of k. */
static RN_ALWAYS_INLINE void multiply_row(const int rows, const micro_tile *t) {
    ptrdiff_t panel = 0;
    do {
        vf sum[ROWS][VECTORS];
        sum_products(rows, 2, 0, t, 1, t->b + panel * t->b_beside, sum);
        finish_tile(rows, 2, sum, t, panel * PANEL, VL);
    } while (++panel < t->panels);
}

/* The same rows times whole vectors of a b in place, from any column on. */
static RN_ALWAYS_INLINE void multiply_at(const int rows, const int vectors, const micro_tile *t, ptrdiff_t column) {
    vf sum[ROWS][VECTORS];
    sum_products(rows, vectors, 0, t, 1, t->b + column, sum);
    finish_tile(rows, vectors, sum, t, column, VL);
}

/* The same for few rows and a whole panel of a b stored by columns, b_step floats apart: blocks of VL x VL are turned in
 * registers and used at once, for packing pays only where many rows use the panel. The chains of the two vectors hide each
 * other's waits. One run of k. */
enum { FEW_ROWS = 2 };
static RN_ALWAYS_INLINE void multiply_turned(const int rows, const micro_tile *t) {
    vf sum[2][ROWS];
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < rows; i++) sum[v][i] = vf_zero();
    const ptrdiff_t a_step = t->a_step, b_step = t->b_step, vectors = t->columns / VL, whole = t->run / VL * VL;
    for (ptrdiff_t p = 0; p < whole; p += VL) {
        const float *b = t->b + p;
        for (ptrdiff_t v = 0; v < vectors; v++, b += VL * b_step) {
            vf block[VL];
            vf_load_turned(b, b_step, block);
            RN_UNROLL
            for (int i = 0; i < rows; i++) {
                const float *a = t->row[i] + p * a_step;
                vf chain = sum[v][i];
                RN_UNROLL
                for (int l = 0; l < VL; l++) chain = vf_fma(vf_set(a[l * a_step]), block[l], chain);
                sum[v][i] = chain;
            }
        }
    }
    const ptrdiff_t rest = t->run - whole;
    for (ptrdiff_t v = 0; v < vectors && rest > 0; v++) {
        vf block[VL];
        load_turned_part(t->b + v * VL * b_step + whole, b_step, VL, rest, block);
        for (ptrdiff_t l = 0; l < rest; l++)
            for (int i = 0; i < rows; i++) sum[v][i] = vf_fma(vf_set(t->row[i][(whole + l) * a_step]), block[l], sum[v][i]);
    }
    vf tile[ROWS][VECTORS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++) tile[i][v] = sum[v][i];
    finish_tile(rows, 2, tile, t, 0, VL);
}

#define MICRO(rows, vectors) \
    static RN_NO_INLINE void multiply_##rows##x##vectors(const micro_tile *t) { multiply_tile(rows, vectors, 0, t); }
MICRO(1, 1)
MICRO(2, 1)
MICRO(3, 1)
MICRO(4, 1)
MICRO(5, 1)
MICRO(6, 1)
MICRO(1, 2)
MICRO(2, 2)
MICRO(3, 2)
MICRO(4, 2)
MICRO(5, 2)
MICRO(6, 2)
MICRO(1, 3)
MICRO(2, 3)
MICRO(3, 3)
MICRO(4, 3)
#if VL == 16
MICRO(7, 1)
MICRO(8, 1)
MICRO(7, 2)
MICRO(8, 2)
#define TALL(vectors) , multiply_7x##vectors, multiply_8x##vectors
#else
#define TALL(vectors)
#endif
#undef MICRO

/* By vectors and rows, NULL beyond those there are; and how many rows to take for each number of vectors where chains may be
 * short. */
static const int TILE_ROWS[VECTORS] = {SHORT_ROWS, SHORT_ROWS, 4};
static const micro_kernel MICRO_KERNELS[VECTORS][ROWS] = {
    {multiply_1x1, multiply_2x1, multiply_3x1, multiply_4x1, multiply_5x1, multiply_6x1 TALL(1)},
    {multiply_1x2, multiply_2x2, multiply_3x2, multiply_4x2, multiply_5x2, multiply_6x2 TALL(2)},
    {multiply_1x3, multiply_2x3, multiply_3x3, multiply_4x3},
};
#undef TALL

#define MICRO(rows) \
    static RN_NO_INLINE void multiply_packing_##rows(const micro_tile *t) { multiply_tile(rows, 2, 1, t); } \
    static RN_NO_INLINE void multiply_row_##rows(const micro_tile *t) { multiply_row(rows, t); }
MICRO(1)
MICRO(2)
MICRO(3)
MICRO(4)
MICRO(5)
MICRO(6)
#if VL == 16
MICRO(7)
MICRO(8)
#define TALL(name) , name##_7, name##_8
#else
#define TALL(name)
#endif
#undef MICRO
#define EACH_ROWS(name) name##_1, name##_2, name##_3, name##_4, name##_5, name##_6 TALL(name)
static const micro_kernel PACKING_KERNELS[ROWS] = {EACH_ROWS(multiply_packing)};
static const micro_kernel ROW_KERNELS[ROWS] = {EACH_ROWS(multiply_row)};
#undef EACH_ROWS
#undef TALL

#define FEW(name) \
    static RN_NO_INLINE void name##_1(const micro_tile *t) { name(1, t); } \
    static RN_NO_INLINE void name##_2(const micro_tile *t) { name(2, t); } \
    static const micro_kernel name##_kernels[FEW_ROWS] = {name##_1, name##_2};
FEW(multiply_turned)
#undef FEW

/* Rows that pass two panels at once: with 32 registers enough for all products, else for few rows. */
enum { PAIR_ROWS = VL == 16 ? (int)SHORT_ROWS : (int)FEW_ROWS };

#include "straight_kernel.h"

/* How many whole panels of `columns` columns are passed in one call where k is short, as many as stay in the first cache; else 1.
 */
static inline ptrdiff_t panels_in_row(ptrdiff_t k, ptrdiff_t columns) {
    return columns >= 2 * PANEL && k <= SHORT_CHAIN && k > 0 ? least(columns / PANEL, NEAR_FLOATS / (k * PANEL)) : 1;
}

/* Whether ROWS rows may go into a tile of up to two vectors, else SHORT_ROWS. Of one vector fewer would wait for themselves. */
static inline int takes_tall_tiles(const micro_tile *t) {
    return t->runs == 1 && t->run >= LONG_CHAIN && (t->a_step == 1 || t->columns <= VL);
}

/* How many of the rows left go into the next tile: as many as there can be, and what is less than twice that in two even parts,
 * for a tile of one or two rows keeps the multipliers waiting. */
static inline ptrdiff_t next_rows(ptrdiff_t left, ptrdiff_t most) {
    if (left >= 2 * most) return most;
    return left <= most ? left : (left + 1) / 2;
}

/* How many of the columns left go into the next panel of two vectors, or of three where that leaves none to a panel of one. */
static inline ptrdiff_t next_columns(ptrdiff_t left) { return left <= PANEL + VL && left > PANEL ? left : least(left, PANEL); }

/* How rows of a pass b: a panel; TURNED, where b is stored by columns, a PAIR; a ROW of panels. */
typedef enum { ONE_PANEL, TURNED_PANEL, PAIR_OF_PANELS, ROW_OF_PANELS } panel_way;

/* The activation of a finished block of c where the tiles have left it out. */
static void activate_rest(const micro_tile *t, ptrdiff_t rows, float *c) {
    if (!t->finish || t->activation <= RN_LEAKY_RELU) return;
    const int joined = t->c_row == t->columns; /* short rows fill vectors together */
    for (ptrdiff_t i = 0, spans = joined ? 1 : rows; i < spans; i++, c += t->c_row)
        activate_span(t->activation, t->alpha, c, c, joined ? rows * t->columns : t->columns);
}

/* Ask for `rows` of c and for what `work` more makes due of what comes later: at once, or `spread` between steps of a pair. */
static RN_ALWAYS_INLINE void ask_for_tile(micro_tile *t, const int spread, rows_between *b, ptrdiff_t rows, ptrdiff_t work) {
    rows_ahead *const ahead[2] = {ASKS_BETWEEN ? t->next : NULL, t->later};
    b->rows = 0;
    b->turns = t->run / STRAIGHT_STEPS;
    if (spread)
        ask_between(b, t->c, t->c_row, t->columns, 0, rows);
    else
        ask_for_rows(ASK_TO_WRITE, t->c, t->c_row, t->columns, 0, rows);
    RN_UNROLL
    for (int i = 0; i < 2; i++) {
        if (ahead[i] == NULL) continue;
        if (!spread) {
            ask_on(ASK_FAR, ahead[i], work);
            continue;
        }
        const ptrdiff_t due = rows_due(ahead[i], work), end = ahead[i]->asked;
        ask_between(b, ahead[i]->from, ahead[i]->row, ahead[i]->n, end - due, end);
    }
    b->row[b->rows].lines = 0;
    if (ASKS_BETWEEN) t->between = b->rows > 0 ? b : NULL;
}

/* All rows of a, a_row floats apart, times one panel or several into rows of c; then what is left of the activation. t holds the
 * rest. */
static void multiply_panel(micro_tile *t, panel_way way, const float *a, ptrdiff_t a_row, ptrdiff_t rows, float *c,
                           const float *row_bias) {
    const int along = t->a_step == 1, beside = a_row == 1 && !along;
    const micro_kernel *packing = way == PAIR_OF_PANELS ? PAIR_KERNELS[beside][PAIR_TO_PACK] : PACKING_KERNELS;
    const pair_place place = t->pack == NULL && t->b_step != PANEL ? PAIR_IN_PLACE : PAIR_PACKED;
    const micro_kernel *kernels = way == TURNED_PANEL     ? multiply_turned_kernels
                                  : way == PAIR_OF_PANELS ? PAIR_KERNELS[beside][place]
                                  : way == ROW_OF_PANELS  ? ROW_KERNELS
                                                          : MICRO_KERNELS[t->columns > VL];
    const int straight = GOES_STRAIGHT && t->runs == 1 && (way == ROW_OF_PANELS ? along : way == ONE_PANEL && (along || beside));
    const int single =
        TAKES_SINGLE && straight && along && way == ONE_PANEL && t->columns <= VL && t->b_step == PANEL && !t->pack;
    const micro_kernel *straight_kernels = single                 ? SINGLE_KERNELS
                                           : way == ROW_OF_PANELS ? STRAIGHT_ROW_KERNELS
                                           : along                ? STRAIGHT_KERNELS[t->columns > VL]
                                                                  : BESIDE_KERNELS[t->columns > VL];
    const int tall = way == ROW_OF_PANELS || takes_tall_tiles(t);
    const ptrdiff_t most = single ? SINGLE_ROWS : way == PAIR_OF_PANELS ? PAIR_ROWS : !tall ? SHORT_ROWS : ROWS;
    const int asks_for_c =
        t->c_far && t->runs * t->run >= 4 * LONG_CHAIN; /* of a block; shorter ones gain less than that takes */
    const int asks = asks_for_c || t->later != NULL || (ASKS_BETWEEN && t->next != NULL);
    rows_between between;
    t->c = c;
    t->row_bias = row_bias;
    for (ptrdiff_t left = rows, take; left > 0; left -= take) {
        take = next_rows(left, most);
        const ptrdiff_t pointed = TAKES_SINGLE ? least(take, ROWS) : take;
        for (ptrdiff_t i = 0; i < pointed; i++, a += a_row) t->row[i] = a;
        a += (take - pointed) * a_row;
        if (asks)
            ask_for_tile(t, ASKS_BETWEEN && way == PAIR_OF_PANELS && t->pack == NULL, &between, asks_for_c ? take : 0,
                         way == PAIR_OF_PANELS ? 2 * take : take);
        if (t->pack == NULL) {
            (straight && t->b_step == PANEL ? straight_kernels : kernels)[take - 1](t);
        } else {
            packing[take - 1](t); /* the first rows, which leave the panels that they pass packed */
            t->b = t->pack;
            t->b_step = PANEL;
            t->pack = NULL;
        }
        t->c += take * t->c_row;
        if (row_bias != NULL) t->row_bias += take;
    }
    if (ASKS_BETWEEN) t->between = NULL;
    activate_rest(t, rows, c);
}
