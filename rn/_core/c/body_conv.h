#include "window.h"

/* Pixels of a panel, computed into a block of their own, to where the grid lies in the output. */
static void scatter(const rn_convolve_args *a, const float *block, ptrdiff_t block_row, ptrdiff_t first, ptrdiff_t pixels,
                    float *out) {
    for (ptrdiff_t m = 0; m < a->rows; m++, block += block_row, out += a->out_plane) {
        ptrdiff_t y = first / a->window.grid_width, x = first % a->window.grid_width;
        for (ptrdiff_t i = 0; i < pixels;) {
            const ptrdiff_t length = least(a->window.grid_width - x, pixels - i);
            float *to = out + y * a->out_row + x * a->out_column;
            for (ptrdiff_t l = 0; l < length; l++) to[l * a->out_column] = block[i + l];
            i += length;
            x = 0;
            y++;
        }
    }
}

/* What the call's next tile reads of its image, to be asked for while `work` is done. */
static rows_ahead next_image(const rn_convolve_args *a, ptrdiff_t tile, ptrdiff_t work) {
    const rn_window *w = &a->window;
    const ptrdiff_t plane = w->height * w->width, image = tile / (a->groups * a->blocks), group = tile / a->blocks % a->groups;
    const ptrdiff_t first = tile % a->blocks * a->block, end = least(first + a->block, w->grid_height * w->grid_width);
    const ptrdiff_t top = first / w->grid_width * w->stride_y + low_y(w);
    const ptrdiff_t rows = reach((end - 1) / w->grid_width - first / w->grid_width + 1, w->stride_y, w->tap_step_y, w->tap_rows);
    const ptrdiff_t from = top > 0 ? top : 0, size = (least(top + rows, w->height) - from) * w->width;
    const float *planes = a->source + (image * a->groups + group) * a->channels * plane + from * w->width;
    const ptrdiff_t channels = image < a->images && size > 0 ? least(a->channels, MOST_AHEAD / size) : 0;
    return (rows_ahead){planes, channels, plane, size, work, 0, 0};
}

/* How the filters pass the first of `pixels` pixels, and how many panels these are. */
static panel_way way_of_pixels(const rn_convolve_args *a, ptrdiff_t k, ptrdiff_t pixels, ptrdiff_t *panels) {
    *panels = a->in_place ? 1 : panels_in_row(k, pixels);
    if (*panels > 1) return ROW_OF_PANELS;
    if (VL < 16 || k <= SHORT_CHAIN || pixels < 2 * PANEL) return ONE_PANEL;
    *panels = 2;
    return PAIR_OF_PANELS;
}

KERNEL(convolve) {
    const rn_convolve_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t image = tile / (a->groups * a->blocks), group = tile / a->blocks % a->groups;
    const ptrdiff_t first = tile % a->blocks * a->block, pixels = least(a->block, w->grid_height * w->grid_width - first);
    const ptrdiff_t first_y = first / w->grid_width, rows_of_grid = (first + pixels - 1) / w->grid_width - first_y + 1;
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, k_all = a->channels * taps;

    ptrdiff_t *offset = scratch;
    float *panel = (float *)(offset + KC);
    float *packed = panel + KC * RN_PAIR;                          /* [rows, KC] where weights are packed */
    float *block = packed + (a->weight_packed ? a->rows * KC : 0); /* [rows, block] where outputs go on from there */
    const int aside = a->scattered || a->pooled;
    float *copy = block + (aside ? a->rows * a->block : 0); /* the padded part of the image; panel lies before it */

    const ptrdiff_t plane = (image * a->groups + group) * a->channels;
    const float *weight = a->weight + group * a->rows * k_all;
    const ptrdiff_t first_plane = (image * a->groups + group) * a->rows;
    float *out = a->pooled ? NULL : a->out + first_plane * a->out_plane + a->out_first;
    micro_tile t = {.a_step = 1, .runs = 1, .activation = a->activation, .alpha = a->alpha};
    t.c_row = aside ? a->block : a->out_plane;
    t.c_far = !aside;
    float *c = aside ? block : out + first;
    const float *bias = a->bias != NULL ? a->bias + group * a->rows : NULL;

    rows_ahead next;
    if (k_all > SHORT_CHAIN) { /* else asking takes longer than it saves */
        const ptrdiff_t blocks_of_k = (k_all + KC - 1) / KC, panels = (pixels + PANEL - 1) / PANEL;
        next = next_image(a, tile + 1, blocks_of_k * a->rows * panels);
        t.later = &next;
    }

    ptrdiff_t begin = 0;
    do {
        const ptrdiff_t k = least(KC, k_all - begin);
        const ptrdiff_t channel = k > 0 ? begin / taps : 0, channels = k > 0 ? (begin + k - 1) / taps - channel + 1 : 0;
        const image_part part = part_of_image(w, a->source, a->images * a->groups * a->channels, plane + channel, channels,
                                              first_y, rows_of_grid, 0, w->grid_width, copy);
        tap_offsets(w, &part, begin, k, offset);
        const float *left = weight + begin;
        ptrdiff_t left_row = k_all;
        if (a->weight_packed) {
            for (ptrdiff_t m = 0; m < a->rows; m++) copy_row(packed + m * KC, left + m * left_row, k);
            left = packed;
            left_row = KC;
        }
        t.run = k;
        t.add = begin > 0;
        t.finish = begin + k == k_all;
        ptrdiff_t y = 0, x = first % w->grid_width;
        t.b_beside = k * PANEL;
        for (ptrdiff_t i = 0; i < pixels; i += t.columns) {
            const panel_way way = way_of_pixels(a, k, pixels - i, &t.panels);
            t.columns = least(t.panels * PANEL, pixels - i);
            t.b = panel;
            t.b_step = PANEL;
            if (!a->in_place) {
                for (ptrdiff_t p = 0; p < t.panels; p++) {
                    lane_map map;
                    map_lanes(&map, w, part.pitch, &y, &x, least(PANEL, t.columns));
                    pack_pixels(&map, part.origin, part.open, offset, k, panel + p * t.b_beside);
                }
            } else if (t.columns < PANEL) {
                pack_panel(part.origin + x + i, part.plane, k, t.columns, panel);
            } else {
                t.b = part.origin + x + i;
                t.b_step = part.plane;
                if (a->colliding) t.pack = panel;
            }
            multiply_panel(&t, way, left, left_row, a->rows, c + i, bias);
        }
        begin += k;
    } while (begin < k_all);
    if (a->scattered) scatter(a, block, a->block, first, pixels, out);
    if (a->pooled) {
        const ptrdiff_t pooled = first_plane * a->pool.oh * a->pool.ow;
        pool_forward(0, &a->pool, a->rows, block, a->pool.result + pooled, a->pool.taps == NULL ? NULL : a->pool.taps + pooled);
    }
}

KERNEL(turn_weights) {
    const rn_turn_weights_args *a = arguments;
    (void)scratch;
    const ptrdiff_t group = tile / a->channels, channel = tile % a->channels;
    float *to = a->turned + tile * a->filters * a->tap_rows * a->tap_columns;
    const ptrdiff_t size = a->height * a->width, filter = a->channels * size;
    const float *from =
        a->weight + (group * a->filters * a->channels + channel) * size + a->first_row * a->width + a->first_column;
    if (a->tap_rows == 1 && a->tap_columns == 1) { /* a column of a matrix */
        for (ptrdiff_t m = 0; m < a->filters; m++) to[m] = from[m * filter];
        return;
    }
    for (ptrdiff_t m = 0; m < a->filters; m++, from += filter)
        for (ptrdiff_t i = 0; i < a->tap_rows; i++)
            for (ptrdiff_t j = 0; j < a->tap_columns; j++) *to++ = from[i * a->step_row * a->width + j * a->step_column];
}
