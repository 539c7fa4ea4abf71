/* Moving blocks of matrices into the order in which the micro-kernel reads them. */

#if defined(__clang__)
#define RN_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define RN_UNROLL _Pragma("GCC unroll 16")
#else
#define RN_UNROLL
#endif

/* A micro-kernel of its own: inlined into its callers it would lose its registers to them. */
#if defined(__GNUC__)
#define RN_NO_INLINE __attribute__((noinline))
#elif defined(_MSC_VER)
#define RN_NO_INLINE __declspec(noinline)
#else
#define RN_NO_INLINE
#endif

/* What i is by now the compiler shall not reason about: an index into many rows stays one, instead of a pointer for each of them,
 * for which registers do not suffice. */
#if defined(__GNUC__)
#define RN_OPAQUE(i) __asm__("" : "+r"(i))
#else
#define RN_OPAQUE(i) ((void)(i))
#endif

enum { NEAR_FLOATS = 8192 }; /* what is larger, or new, will not be in the first cache */

/* Ask for n floats of each of the rows first … end - 1, `row` floats apart, that will be read or written later. Always inline,
 * like all that only asks: gcc takes a call of a function that returns nothing and writes nothing for one it may leave out. */
typedef enum { ASK_NEAR, ASK_FAR, ASK_TO_WRITE } ask_way;
static RN_ALWAYS_INLINE void ask_for_rows(const ask_way way, const float *from, ptrdiff_t row, ptrdiff_t n, ptrdiff_t first,
                                          ptrdiff_t end) {
    for (ptrdiff_t i = first; i < end; i++)
        for (const float *p = from + i * row, *last = p + n; p < last; p += LINE_FLOATS) {
            if (way == ASK_NEAR) RN_PREFETCH(p);
            if (way == ASK_FAR) RN_PREFETCH_FAR(p);
            if (way == ASK_TO_WRITE) RN_PREFETCH_TO_WRITE(p);
        }
}

/* `count` such rows, asked for one by one while `work` of something else is done: at most what half a second cache holds. */
enum { MOST_AHEAD = 65536 };
typedef struct {
    const float *from;
    ptrdiff_t count, row, n, work;
    ptrdiff_t asked, owed; /* rows; and that many `work`-ths of one */
} rows_ahead;

/* Count `work` as done, and return how many rows that makes due: those from a->asked less that many up to a->asked. */
static RN_ALWAYS_INLINE ptrdiff_t rows_due(rows_ahead *a, ptrdiff_t work) {
    const ptrdiff_t before = a->asked;
    for (a->owed += work * a->count; a->owed >= a->work && a->asked < a->count; a->owed -= a->work) a->asked++;
    return a->asked - before;
}

static RN_ALWAYS_INLINE void ask_on(const ask_way way, rows_ahead *a, ptrdiff_t work) {
    const ptrdiff_t due = rows_due(a, work);
    ask_for_rows(way, a->from, a->row, a->n, a->asked - due, a->asked);
}

/* Rows that are asked for by a few lines between the steps of a chain: many at once would keep what the chain itself reads
 * waiting. It has so many `turns` left for that; rows that take more, or are more than MOST_BETWEEN, are asked for at once. A row
 * has at least one line. */
enum { LINES_BETWEEN = 2, MOST_BETWEEN = 24 };
typedef struct {
    const float *from;
    ptrdiff_t lines;
} row_between;
typedef struct {
    row_between row[MOST_BETWEEN + 1]; /* after the last one of no lines */
    ptrdiff_t rows, turns;
} rows_between;

static RN_ALWAYS_INLINE void ask_between(rows_between *b, const float *from, ptrdiff_t row, ptrdiff_t n, ptrdiff_t first,
                                         ptrdiff_t end) {
    const ptrdiff_t lines = (n + LINE_FLOATS - 1) / LINE_FLOATS, turns = (lines + LINES_BETWEEN - 1) / LINES_BETWEEN;
    for (ptrdiff_t i = first; i < end; i++) {
        if (turns > b->turns || b->rows == MOST_BETWEEN) {
            ask_for_rows(ASK_FAR, from, row, n, i, end);
            return;
        }
        b->row[b->rows++] = (row_between){from + i * row, lines};
        b->turns -= turns;
    }
}

enum { PANEL = 2 * VL };                     /* columns of b that are packed together */
enum { KC = VL == 16 ? RN_LONG_KC : RN_KC }; /* of which k is cut in blocks */

/* to[p, j] = from[p, j], p < k, j < columns <= PANEL, and 0 for the rest of the panel's last vector. to has PANEL columns. */
static void pack_panel(const float *from, ptrdiff_t from_row, ptrdiff_t k, ptrdiff_t columns, float *to) {
    const ptrdiff_t whole = columns >= VL ? VL : 0;
    const vm tail = vm_first(columns - whole);
    for (ptrdiff_t p = 0; p < k; p++, from += from_row, to += PANEL) {
        if (whole) vf_store(to, vf_load(from));
        if (columns > whole) vf_store(to + whole, vf_load_masked(from + whole, tail));
    }
}

/* block[j] holds p[i * row + j] in lane i, for i < lanes and j < count; lanes beyond hold the last row again. */
static RN_ALWAYS_INLINE void load_turned_part(const float *p, ptrdiff_t row, ptrdiff_t lanes, ptrdiff_t count, vf block[VL]) {
    for (ptrdiff_t l = 0; l < VL; l++) block[l] = vf_load_first(p + least(l, lanes - 1) * row, count);
    vf_transpose(block);
}

/* to[j, i] = from[i, j], i < rows, j < columns. With pad, rows of `to` are written up to a whole vector: the last row of from
 * again. */
static RN_ALWAYS_INLINE void transpose_any(const int pad, const float *from, ptrdiff_t from_row, ptrdiff_t rows,
                                           ptrdiff_t columns, float *to, ptrdiff_t to_row) {
    for (ptrdiff_t i = 0; i < rows; i += VL) {
        const ptrdiff_t lanes = least(VL, rows - i);
        const int whole = pad || lanes == VL;
        for (ptrdiff_t j = 0; j < columns; j += VL) {
            const ptrdiff_t count = least(VL, columns - j);
            float *target = to + j * to_row + i;
            if (lanes == VL && count == VL) { /* in registers from end to end */
                vf block[VL];
                vf_load_turned(from + i * from_row + j, from_row, block);
                RN_UNROLL
                for (int l = 0; l < VL; l++) vf_store(target + l * to_row, block[l]);
                continue;
            }
            vf block[VL];
            load_turned_part(from + i * from_row + j, from_row, lanes, count, block);
            for (ptrdiff_t l = 0; l < count; l++) vf_store_first(target + l * to_row, whole ? VL : lanes, block[l]);
        }
    }
}

static RN_NO_INLINE void transpose(const float *from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t columns, float *to,
                                   ptrdiff_t to_row) {
    transpose_any(0, from, from_row, rows, columns, to, to_row);
}

/* A panel of columns of b where b is stored by columns: to[p, j] = from[j, p], p < k, j < columns, up to a whole vector. */
static RN_NO_INLINE void pack_transposed(const float *from, ptrdiff_t from_row, ptrdiff_t k, ptrdiff_t columns, float *to,
                                         ptrdiff_t to_row) {
    transpose_any(1, from, from_row, columns, k, to, to_row);
}
