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

KERNEL(convolve) {
    const rn_convolve_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t image = tile / (a->groups * a->blocks), group = tile / a->blocks % a->groups;
    const ptrdiff_t first = tile % a->blocks * a->block, pixels = least(a->block, w->grid_height * w->grid_width - first);
    const ptrdiff_t first_y = first / w->grid_width, rows_of_grid = (first + pixels - 1) / w->grid_width - first_y + 1;
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, k_all = a->channels * taps;

    ptrdiff_t *offset = scratch;
    float *panel = (float *)(offset + RN_KC);
    float *packed = panel + RN_KC * RN_PANEL;                         /* [rows, RN_KC] where weights are packed */
    float *block = packed + (a->weight_packed ? a->rows * RN_KC : 0); /* [rows, block] where the output is scattered */
    float *copy = block + (a->scattered ? a->rows * a->block : 0);    /* the padded part of the image; panel lies before it */

    const ptrdiff_t plane = (image * a->groups + group) * a->channels;
    const float *weight = a->weight + group * a->rows * k_all;
    float *out = a->out + (image * a->groups + group) * a->rows * a->out_plane + a->out_first;
    micro_tile t = {.a_step = 1, .runs = 1, .activation = a->activation, .alpha = a->alpha};
    t.c_row = a->scattered ? a->block : a->out_plane;
    float *c = a->scattered ? block : out + first;
    const float *bias = a->bias != NULL ? a->bias + group * a->rows : NULL;

    ptrdiff_t begin = 0;
    do {
        const ptrdiff_t k = least(RN_KC, k_all - begin);
        const ptrdiff_t channel = k > 0 ? begin / taps : 0, channels = k > 0 ? (begin + k - 1) / taps - channel + 1 : 0;
        const image_part part = part_of_image(w, a->source, a->images * a->groups * a->channels, plane + channel, channels,
                                              first_y, rows_of_grid, 0, w->grid_width, copy);
        tap_offsets(w, &part, begin, k, offset);
        const float *left = weight + begin;
        ptrdiff_t left_row = k_all;
        if (a->weight_packed) {
            for (ptrdiff_t m = 0; m < a->rows; m++) copy_row(packed + m * RN_KC, left + m * left_row, k);
            left = packed;
            left_row = RN_KC;
        }
        t.run = k;
        t.add = begin > 0;
        t.finish = begin + k == k_all;
        ptrdiff_t y = 0, x = first % w->grid_width;
        for (ptrdiff_t i = 0; i < pixels; i += PANEL) {
            t.columns = least(PANEL, pixels - i);
            t.b = panel;
            t.b_step = PANEL;
            if (!a->in_place) {
                lane_map map;
                map_lanes(&map, w, part.pitch, &y, &x, t.columns);
                pack_pixels(&map, part.origin, part.open, offset, k, panel);
            } else if (t.columns < PANEL) {
                pack_panel(part.origin + x + i, part.plane, k, t.columns, panel);
            } else {
                t.b = part.origin + x + i;
                t.b_step = part.plane;
            }
            multiply_panel(&t, 0, left, left_row, a->rows, c + i, bias);
        }
        begin += k;
    } while (begin < k_all);
    if (a->scattered) scatter(a, block, a->block, first, pixels, out);
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

KERNEL(weight_gradient) {
    const rn_weight_gradient_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t filter_block = tile % a->filter_blocks, channel_block = tile / a->filter_blocks % a->channel_blocks;
    const ptrdiff_t group = tile / (a->filter_blocks * a->channel_blocks) % a->groups;
    const ptrdiff_t split = tile / (a->filter_blocks * a->channel_blocks * a->groups);
    const ptrdiff_t first_filter = filter_block * a->filter_block, filters = least(a->filter_block, a->filters - first_filter);
    const ptrdiff_t first_channel = channel_block * a->channel_block,
                    channels = least(a->channel_block, a->channels - first_channel);
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, pixels = w->grid_height * w->grid_width;
    const int with_bias = a->with_bias && channel_block == a->channel_blocks - 1;
    const ptrdiff_t rows = channels * taps + with_bias;

    ptrdiff_t *offset = scratch; /* [channel_block * taps] */
    float *panel = (float *)(offset + (a->channel_block * taps + 7) / 8 * 8);
    float *ones = panel + RN_KC * RN_WIDE_PANEL; /* read like a channel of the image: its gradient is that of the bias */
    float *copy = ones + a->ones;
    if (with_bias)
        for (ptrdiff_t i = 0; i < a->ones; i++) ones[i] = 1.0f;

    float *partial =
        a->partial + ((split * a->groups + group) * (a->channels * taps + 1) + first_channel * taps) * a->filters + first_filter;
    micro_tile t = {.a_step = w->stride_x, .c_row = a->filters};
    for (ptrdiff_t image = a->images * split / a->splits; image < a->images * (split + 1) / a->splits; image++) {
        const ptrdiff_t plane = (image * a->groups + group) * a->channels + first_channel;
        const float *dy = a->dy + ((image * a->groups + group) * a->filters + first_filter) * pixels;
        for (ptrdiff_t y = 0; y < w->grid_height; y += a->block_rows) {
            for (ptrdiff_t x = 0; x < w->grid_width; x += a->block_columns) {
                t.runs = least(a->block_rows, w->grid_height - y);
                t.run = least(a->block_columns, w->grid_width - x);
                const image_part part =
                    part_of_image(w, a->x, a->images * a->groups * a->channels, plane, channels, y, t.runs, x, t.run, copy);
                tap_offsets(w, &part, 0, channels * taps, offset);
                t.a_turn = w->stride_y * part.pitch;
                for (ptrdiff_t m = 0; m < filters; m += t.columns) {
                    t.columns = next_columns(filters - m);
                    t.b_step = (t.columns + VL - 1) / VL * VL;
                    t.b = panel;
                    const float *from = dy + m * pixels + y * w->grid_width + x;
                    if (t.run == w->grid_width)
                        pack_transposed(from, pixels, t.runs * t.run, t.columns, panel, t.b_step);
                    else
                        for (ptrdiff_t r = 0; r < t.runs; r++)
                            pack_transposed(from + r * w->grid_width, pixels, t.run, t.columns, panel + r * t.run * t.b_step,
                                            t.b_step);
                    t.c = partial + m;
                    const micro_kernel *kernels = MICRO_KERNELS[t.b_step / VL - 1];
                    const int most = MOST_ROWS[t.b_step / VL - 1];
                    const float *next = from + t.columns * pixels;
                    if (m + t.columns >= filters) next = dy + (y + t.runs) * w->grid_width;
                    if (m + t.columns >= filters && y + t.runs >= w->grid_height) next = dy + a->groups * a->filters * pixels;
                    for (ptrdiff_t k = 0, take; k < rows; k += take) {
                        take = next_rows(rows - k, most);
                        ask_for_rows(ASK_NEAR, next, pixels, t.runs * t.run, k * t.columns / rows, (k + take) * t.columns / rows);
                        for (ptrdiff_t i = 0; i < take; i++)
                            t.row[i] = k + i < channels * taps ? part.origin + offset[k + i] : ones;
                        kernels[take - 1](&t);
                        t.c += take * t.c_row;
                    }
                }
                t.add = 1;
            }
        }
    }
    if (t.add) return;
    for (ptrdiff_t k = 0; k < rows; k++)
        zero_row(partial + k * a->filters, filters); /* there was no image, or none with pixels */
}

KERNEL(sum_splits) {
    const rn_sum_splits_args *a = arguments;
    float *sum = scratch;                                                /* [RN_SUM_BLOCK, RN_SUM_BLOCK] */
    const ptrdiff_t row_tiles = (a->rows + RN_SUM_BLOCK) / RN_SUM_BLOCK; /* of rows + 1 */
    const ptrdiff_t column_tiles = (a->filters + RN_SUM_BLOCK - 1) / RN_SUM_BLOCK;
    const ptrdiff_t group = tile / (row_tiles * column_tiles);
    const ptrdiff_t row = tile / column_tiles % row_tiles * RN_SUM_BLOCK, column = tile % column_tiles * RN_SUM_BLOCK;
    const ptrdiff_t rows = least(RN_SUM_BLOCK, a->rows + 1 - row), columns = least(RN_SUM_BLOCK, a->filters - column);
    const ptrdiff_t matrix = (a->rows + 1) * a->filters;
    const float *partial = a->partial + group * matrix + row * a->filters + column;
    for (ptrdiff_t i = 0; i < rows; i++) {
        for (ptrdiff_t j = 0; j < columns; j += VL) {
            const float *from = partial + i * a->filters + j;
            vf total = vf_load_first(from, columns - j);
            for (ptrdiff_t s = 1; s < a->splits; s++)
                total = vf_add(total, vf_load_first(from + s * a->groups * matrix, columns - j));
            vf_store(sum + i * RN_SUM_BLOCK + j, total);
        }
    }
    const ptrdiff_t first_filter = group * a->filters + column;
    transpose(sum, RN_SUM_BLOCK, least(rows, a->rows - row), columns, a->dweight + first_filter * a->rows + row, a->rows);
    if (a->dbias != NULL && row + rows > a->rows) copy_row(a->dbias + first_filter, sum + (rows - 1) * RN_SUM_BLOCK, columns);
}
