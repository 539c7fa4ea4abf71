/* The pieces of rows that one tile of a walk is made of, one after the other:
 *
 *     for (walk_row r = first_row(walk, tile); r.count > 0; next_row(walk, &r)) ... */
typedef struct {
    ptrdiff_t index[3];     /* of the row, along the outer axes */
    ptrdiff_t row_a, row_b; /* where the row starts in both arrays, */
    ptrdiff_t a, b;         /* and where the piece does */
    ptrdiff_t at, end;      /* of the piece and of the tile, in row-major order */
    ptrdiff_t count;        /* elements of the piece */
} walk_row;

static inline walk_row first_row(const rn_walk *w, ptrdiff_t tile) {
    walk_row r = {.at = tile * RN_ELEMENT_TILE};
    r.end = least(r.at + RN_ELEMENT_TILE, w->shape[0] * w->shape[1] * w->shape[2] * w->shape[3]);
    if (r.at >= r.end) return r;
    ptrdiff_t rest = r.at / w->shape[3], column = r.at % w->shape[3];
    for (int i = 2; i >= 0; i--) {
        r.index[i] = rest % w->shape[i];
        rest /= w->shape[i];
        r.row_a += r.index[i] * w->a[i];
        r.row_b += r.index[i] * w->b[i];
    }
    r.a = r.row_a + column * w->a[3];
    r.b = r.row_b + column * w->b[3];
    r.count = least(w->shape[3] - column, r.end - r.at);
    return r;
}

static inline void next_row(const rn_walk *w, walk_row *r) {
    r->at += r->count;
    r->count = least(w->shape[3], r->end - r->at);
    for (int i = 2; i >= 0; i--) {
        r->row_a += w->a[i];
        r->row_b += w->b[i];
        if (++r->index[i] < w->shape[i]) break;
        r->row_a -= w->shape[i] * w->a[i];
        r->row_b -= w->shape[i] * w->b[i];
        r->index[i] = 0;
    }
    r->a = r->row_a;
    r->b = r->row_b;
}

/* Move from a whole row to the one `rows` below, of the same tile and image, before next_row. */
static inline void pass_rows(const rn_walk *w, walk_row *r, ptrdiff_t rows) {
    r->at += rows * w->shape[3];
    r->index[2] += rows;
    r->row_a += rows * w->a[2];
    r->row_b += rows * w->b[2];
}
