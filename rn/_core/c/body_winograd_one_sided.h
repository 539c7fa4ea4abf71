/* Winograd's convolution, F(4 x 4, 3 x 3), of so few tiles that the weights take longer to come than to use: they are kept as
 * G w, one side of G w G', which is 18 numbers for each pair of channels instead of 36, and the other side is multiplied on the
 * way, for a row of six places at a time. The products and sums are those of body_winograd.h in the same order, and so are the
 * bits.
 *
 * Registers: 6 x RN_WINOGRAD_FEW sums and the six places, which three numbers of G w become: with 32 of them. */

enum { FEW_SIDE = WINOGRAD_WEIGHT_SIDE, FEW_TAPS = 3 };
enum { CHANNELS_AHEAD = 16 }; /* whose weights are asked for: they lie in one row, but the processor stops at each page's end */

/* Floats of VL filters, in the order (row of G w, channel, column of w, filter). */
static inline ptrdiff_t one_sided_weights(ptrdiff_t channels) { return FEW_SIDE * FEW_TAPS * VL * channels; }

KERNEL(winograd_one_sided_weights) {
    const rn_winograd_weights_args *a = arguments;
    const winograd_form f = WINOGRAD_FORM(FEW_TAPS, 1);
    (void)scratch;
    const ptrdiff_t first = tile * RN_WINOGRAD_FILTERS, end = least(first + RN_WINOGRAD_FILTERS, a->filters);
    for (ptrdiff_t m = first; m < end; m += VL) {
        float *to = a->transformed + m / VL * one_sided_weights(a->channels);
        for (ptrdiff_t c = 0; c < a->channels; c++, to += FEW_TAPS * VL) {
            vf w[FEW_TAPS * FEW_TAPS], side[FEW_SIDE][WINOGRAD_MOST_TAPS];
            load_taps(f, a, m, least(VL, end - m), c, w);
            transform_side(f, w, side);
            for (int i = 0; i < FEW_SIDE; i++)
                for (int j = 0; j < FEW_TAPS; j++) vf_store(to + (i * a->channels * FEW_TAPS + j) * VL, side[i][j]);
        }
    }
}

/* A row of six places, of VL filters: m[place, tile] (+)= sum over c < run of v[place, tile, c] (G w G')[place, c]. */
typedef struct {
    const float *weights, *v;
    float *m;
    ptrdiff_t run, v_plane, v_tile, m_plane, m_tile;
    int add;
} place_row;

static RN_ALWAYS_INLINE void multiply_place_row(const int tiles, const place_row *p) {
    const winograd_form f = WINOGRAD_FORM(FEW_TAPS, 1);
    vf sum[FEW_SIDE][RN_WINOGRAD_FEW];
    const float *v[FEW_SIDE], *weights = p->weights;
    ptrdiff_t one = p->v_tile, three = 3 * p->v_tile;
    RN_UNROLL
    for (int q = 0; q < FEW_SIDE; q++) {
        v[q] = p->v + q * p->v_plane;
        RN_UNROLL
        for (int t = 0; t < tiles; t++) sum[q][t] = vf_zero();
    }
    for (ptrdiff_t c = 0; c < p->run; c++, weights += FEW_TAPS * VL) {
        vf side[FEW_TAPS], place[FEW_SIDE];
        RN_UNROLL
        for (int j = 0; j < FEW_TAPS; j++) RN_PREFETCH(weights + (CHANNELS_AHEAD * FEW_TAPS + j) * VL);
        RN_OPAQUE(one); /* or each tile of each place had a pointer of its own, for which registers do not suffice */
        RN_OPAQUE(three);
        RN_UNROLL
        for (int j = 0; j < FEW_TAPS; j++) side[j] = vf_load(weights + j * VL);
        weights_along(f, side, place);
        RN_UNROLL
        for (int q = 0; q < FEW_SIDE; q++) {
            RN_UNROLL
            for (int t = 0; t < tiles; t++) sum[q][t] = vf_fma(vf_set(v[q][t == 3 ? three : t * one]), place[q], sum[q][t]);
            v[q]++;
            RN_OPAQUE(v[q]);
        }
    }
    const int add = p->add;
    float *m = p->m;
    const ptrdiff_t m_plane = p->m_plane, m_tile = p->m_tile;
    RN_UNROLL
    for (int q = 0; q < FEW_SIDE; q++, m += m_plane) {
        RN_UNROLL
        for (int t = 0; t < tiles; t++) {
            float *to = m + t * m_tile;
            vf_store(to, add ? vf_add(vf_load(to), sum[q][t]) : sum[q][t]);
        }
    }
}

#define FEW(tiles) \
    static RN_NO_INLINE void multiply_place_row_##tiles(const place_row *p) { multiply_place_row(tiles, p); }
FEW(1)
FEW(2)
FEW(3)
FEW(4)
#undef FEW
static void (*const PLACE_ROW_KERNELS[RN_WINOGRAD_FEW])(const place_row *) = {
    multiply_place_row_1,
    multiply_place_row_2,
    multiply_place_row_3,
    multiply_place_row_4,
};

/* multiply_places with such weights. */
static ptrdiff_t multiply_one_sided(const rn_winograd_args *a, const winograd_unit *u, ptrdiff_t first, ptrdiff_t end) {
    const ptrdiff_t filters = least(u->m_row, end - first);
    for (ptrdiff_t l = 0; l < filters; l += VL)
        for (int i = 0; i < FEW_SIDE; i++)
            for (ptrdiff_t c = 0; c < a->channels; c += WINOGRAD_CHAIN) {
                const place_row p = {
                    .weights = a->transformed + (first + l) / VL * one_sided_weights(a->channels) +
                               (i * a->channels + c) * FEW_TAPS * VL,
                    .v = u->v + i * FEW_SIDE * u->plane + c,
                    .m = u->m + i * FEW_SIDE * u->m_plane + l,
                    .run = least(WINOGRAD_CHAIN, a->channels - c),
                    .v_plane = u->plane,
                    .v_tile = u->channels,
                    .m_plane = u->m_plane,
                    .m_tile = u->m_row,
                    .add = c > 0,
                };
                PLACE_ROW_KERNELS[u->block.tiles - 1](&p);
            }
    return filters;
}
