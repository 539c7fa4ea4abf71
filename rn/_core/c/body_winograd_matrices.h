/* The matrices of Winograd's forms along one axis, whose numbers come and go in vectors. Y = A' [(G w) . (B' d)] with d the
 * pixels under a tile, w the taps and Y the tile's outputs; the gradients go the other way:
 *
 *     pixels_along     B'     d to places         outputs_along    A'     places to Y
 *     scatter_along    B      places to dd        gradients_along  A      dY to places
 *     weights_along    G      w to places         taps_along       G'     places to dw
 *
 * At stride 1, F(4, 3) and F(2, 5): six pixels, six places, the points 0, 1, -1, 2, -2 and infinity.
 *
 * At stride 2, three taps: nine pixels, four outputs. Even pixels see the first and the last tap, which is F(4, 2) with the five
 * points 0, 1, -1, 2 and infinity; odd pixels see the middle tap alone, and are four places as they stand. These share their
 * weight, so that weights have six places in every form. */

enum {
    WINOGRAD_WEIGHT_SIDE = 6,
    WINOGRAD_MOST_SIDE = 9,
    WINOGRAD_MOST_STEP = 4,
    WINOGRAD_MOST_TAPS = 5,
    WINOGRAD_CHAIN = 128 /* channels summed in one chain */
};

/* A form, constant where it is used: its taps and stride, the pixels under a tile, which are as many as places, and the outputs
 * of a tile; all along one axis. */
typedef struct {
    int taps, stride, side, step;
} winograd_form;

#define WINOGRAD_FORM(taps, stride) ((winograd_form){taps, stride, RN_WINOGRAD_SIDE(stride), 7 - (taps)})

/* Call work(form, a, ...), compiled for each form; or work(form, across, a, ...), compiled for columns side by side. */
#define FOR_WINOGRAD_FORM(work, a, ...) \
    do { \
        if ((a)->stride == 2) \
            work(WINOGRAD_FORM(3, 2), a, __VA_ARGS__); \
        else if ((a)->taps == 5) \
            work(WINOGRAD_FORM(5, 1), a, __VA_ARGS__); \
        else \
            work(WINOGRAD_FORM(3, 1), a, __VA_ARGS__); \
    } while (0)
#define FOR_WINOGRAD_COLUMNS(work, a, ...) \
    do { \
        if ((a)->dilation_x > 1) /* only 3 x 3 kernels at stride 1 are dilated in this form */ \
            work(WINOGRAD_FORM(3, 1), a, (a)->dilation_x, __VA_ARGS__); \
        else \
            FOR_WINOGRAD_FORM(work, a, 1, __VA_ARGS__); \
    } while (0)

/* The place of the weights that place i of an axis is multiplied with; and that of place (i, j) = `place` of `side` x `side`. */
static RN_ALWAYS_INLINE int weight_place(int i) { return i < WINOGRAD_WEIGHT_SIDE ? i : WINOGRAD_WEIGHT_SIDE - 1; }
static RN_ALWAYS_INLINE int weights_of_place(int place, int side) {
    return weight_place(place / side) * WINOGRAD_WEIGHT_SIDE + weight_place(place % side);
}
/* B': rows (4 0 -5 0 1 0), (0 -4 -4 1 1 0), (0 4 -4 -1 1 0), (0 -2 -1 2 1 0), (0 2 -1 -2 1 0), (0 4 0 -5 0 1); at stride 2, of
 * even pixels, (2 -1 -2 1 0), (0 -2 -1 1 0), (0 2 -3 1 0), (0 -1 0 1 0), (0 2 -1 -2 1). */
static RN_ALWAYS_INLINE void pixels_along(winograd_form f, const vf *in, vf *out) {
    const vf two = vf_set(2.0f), three = vf_set(3.0f), four = vf_set(4.0f), five = vf_set(5.0f);
    if (f.stride == 2) {
        const vf difference = vf_sub(in[6], in[2]);
        out[0] = vf_fma(vf_sub(in[0], in[4]), two, difference);
        out[1] = vf_sub(difference, vf_add(in[2], in[4]));
        out[2] = vf_fma(vf_sub(in[2], in[4]), three, difference);
        out[3] = difference;
        out[4] = vf_fnma(difference, two, vf_sub(in[8], in[4]));
        for (int k = 0; k < 4; k++) out[5 + k] = in[2 * k + 1];
        return;
    }
    const vf a = vf_fnma(in[2], four, in[4]), b = vf_fnma(in[1], four, in[3]);
    const vf c = vf_sub(in[4], in[2]), d = vf_sub(in[3], in[1]);
    out[0] = vf_fma(in[0], four, vf_fnma(in[2], five, in[4]));
    out[1] = vf_add(a, b);
    out[2] = vf_sub(a, b);
    out[3] = vf_fma(d, two, c);
    out[4] = vf_fnma(d, two, c);
    out[5] = vf_fma(in[1], four, vf_fnma(in[3], five, in[5]));
}

/* B, whose rows are the columns of B'. */
static RN_ALWAYS_INLINE void scatter_along(winograd_form f, const vf *in, vf *out) {
    const vf two = vf_set(2.0f), three = vf_set(3.0f), four = vf_set(4.0f), five = vf_set(5.0f);
    if (f.stride == 2) {
        const vf sum = vf_add(vf_add(in[0], in[1]), vf_add(in[2], in[3]));
        out[0] = vf_add(in[0], in[0]);
        out[2] = vf_sub(vf_mul(vf_sub(vf_add(in[2], in[4]), in[1]), two), vf_add(in[0], in[3]));
        out[4] = vf_fnma(in[0], two, vf_fnma(in[2], three, vf_sub(vf_zero(), vf_add(in[1], in[4]))));
        out[6] = vf_fnma(in[4], two, sum);
        out[8] = in[4];
        for (int k = 0; k < 4; k++) out[2 * k + 1] = in[5 + k];
        return;
    }
    const vf near_sum = vf_add(in[1], in[2]), near_difference = vf_sub(in[1], in[2]);
    const vf far_sum = vf_add(in[3], in[4]), far_difference = vf_sub(in[3], in[4]);
    out[0] = vf_mul(in[0], four);
    out[1] = vf_fnma(far_difference, two, vf_mul(vf_sub(in[5], near_difference), four));
    out[2] = vf_sub(vf_fnma(in[0], five, vf_mul(near_sum, vf_set(-4.0f))), far_sum);
    out[3] = vf_fma(far_difference, two, vf_fnma(in[5], five, near_difference));
    out[4] = vf_add(in[0], vf_add(near_sum, far_sum));
    out[5] = in[5];
}

/* A': rows (1 1 1 1 1 0), (0 1 -1 2 -2 0), (0 1 1 4 4 0), (0 1 -1 8 -8 1); of five taps the first two, with the infinite point's
 * 1 in the second; at stride 2 (1 1 1 1 0), (0 1 -1 2 0), (0 1 1 4 0), (0 1 -1 8 1), and to each output its odd pixel's place. */
static RN_ALWAYS_INLINE void outputs_along(winograd_form f, const vf *in, vf *out) {
    const vf two = vf_set(2.0f), four = vf_set(4.0f), eight = vf_set(8.0f);
    const vf near_sum = vf_add(in[1], in[2]), near_difference = vf_sub(in[1], in[2]);
    if (f.stride == 2) {
        out[0] = vf_add(vf_add(in[0], near_sum), vf_add(in[3], in[5]));
        out[1] = vf_add(vf_fma(in[3], two, near_difference), in[6]);
        out[2] = vf_add(vf_fma(in[3], four, near_sum), in[7]);
        out[3] = vf_add(vf_fma(in[3], eight, near_difference), vf_add(in[4], in[8]));
        return;
    }
    const vf far_sum = vf_add(in[3], in[4]), far_difference = vf_sub(in[3], in[4]);
    out[0] = vf_add(vf_add(in[0], near_sum), far_sum);
    out[1] = vf_fma(far_difference, two, near_difference);
    if (f.taps == 5) {
        out[1] = vf_add(out[1], in[5]);
        return;
    }
    out[2] = vf_fma(far_sum, four, near_sum);
    out[3] = vf_add(vf_fma(far_difference, eight, near_difference), in[5]);
}

/* A, whose rows are the columns of A'. Place 1 is the sum of all. */
static RN_ALWAYS_INLINE void gradients_along(winograd_form f, const vf *in, vf *out) {
    const vf four = vf_set(4.0f), two = vf_set(2.0f);
    vf even = in[0], odd = in[1], far_even = in[0], far_odd = in[1];
    if (f.taps == 3) {
        even = vf_add(in[0], in[2]), odd = vf_add(in[1], in[3]);
        far_even = vf_fma(in[2], four, in[0]), far_odd = vf_fma(in[3], four, in[1]);
    }
    out[0] = in[0];
    out[1] = vf_add(even, odd);
    out[2] = vf_sub(even, odd);
    out[3] = vf_fma(far_odd, two, far_even);
    if (f.stride == 2) {
        out[4] = in[3];
        for (int k = 0; k < 4; k++) out[5 + k] = in[k];
        return;
    }
    out[4] = vf_fnma(far_odd, two, far_even);
    out[5] = in[f.step - 1];
}

/* G: row (1 0 … 0) / 4; for the points p = 1 and -1 rows -(1 p p^2 …) / 6, for 2 and -2 (1 p p^2 …) / 24; (0 … 0 1). At stride 2,
 * of the first and the last tap, (1 0) / 2, -(1 1) / 2, (-1 1) / 6, (1 2) / 6, (0 1); and the middle tap. */
static RN_ALWAYS_INLINE void weights_along(winograd_form f, const vf *in, vf *out) {
    const vf half = vf_set(0.5f), sixth = vf_set(1.0f / 6);
    if (f.stride == 2) {
        out[0] = vf_mul(in[0], half);
        out[1] = vf_mul(vf_add(in[0], in[2]), vf_set(-0.5f));
        out[2] = vf_mul(vf_sub(in[2], in[0]), sixth);
        out[3] = vf_mul(vf_add(in[0], vf_add(in[2], in[2])), sixth);
        out[4] = in[2];
        out[5] = in[1];
        return;
    }
    const vf minus_sixth = vf_set(-1.0f / 6);
    vf even = in[0], odd = in[1], far_even = vf_mul(in[0], vf_set(1.0f / 24)), far_odd = vf_mul(in[1], vf_set(1.0f / 12));
    for (int k = 2; k < f.taps; k += 2) {
        even = vf_add(even, in[k]);
        far_even = vf_fma(in[k], vf_set((float)(1 << k) / 24), far_even);
    }
    for (int k = 3; k < f.taps; k += 2) {
        odd = vf_add(odd, in[k]);
        far_odd = vf_fma(in[k], vf_set((float)(1 << k) / 24), far_odd);
    }
    out[0] = vf_mul(in[0], vf_set(0.25f));
    out[1] = vf_mul(vf_add(even, odd), minus_sixth);
    out[2] = vf_mul(vf_sub(even, odd), minus_sixth);
    out[3] = vf_add(far_even, far_odd);
    out[4] = vf_sub(far_even, far_odd);
    out[5] = in[f.taps - 1];
}

/* G', whose rows are the columns of G. */
static RN_ALWAYS_INLINE void taps_along(winograd_form f, const vf *in, vf *out) {
    const vf half = vf_set(0.5f), sixth = vf_set(1.0f / 6);
    if (f.stride == 2) {
        const vf more = vf_mul(vf_sub(in[3], in[2]), sixth);
        out[0] = vf_fma(vf_sub(in[0], in[1]), half, more);
        out[1] = in[5];
        out[2] = vf_fnma(in[1], half, vf_fma(vf_add(in[2], vf_add(in[3], in[3])), sixth, in[4]));
        return;
    }
    const vf near_sum = vf_add(in[1], in[2]), far_sum = vf_add(in[3], in[4]);
    const vf near_difference = vf_sub(in[2], in[1]), far_difference = vf_sub(in[3], in[4]);
    const vf minus_sum = vf_mul(near_sum, vf_set(-1.0f / 6)), difference = vf_mul(near_difference, sixth);
    for (int k = 0; k < f.taps; k++) {
        const vf far = vf_set((float)(1 << k) / 24);
        out[k] = k % 2 == 0 ? vf_fma(far_sum, far, minus_sum) : vf_fma(far_difference, far, difference);
    }
    out[0] = vf_fma(in[0], vf_set(0.25f), out[0]);
    out[f.taps - 1] = vf_add(out[f.taps - 1], in[5]);
}
