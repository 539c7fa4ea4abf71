/* The column matrix of a convolution, written out: for reading and for checking, not for speed. */

KERNEL(im2col) {
    const rn_columns_args *a = arguments;
    (void)scratch;
    const ptrdiff_t v = tile % a->kw, u = tile / a->kw % a->kh, plane = tile / (a->kw * a->kh);
    const float *image = a->from + plane * a->h * a->w;
    float *row = a->to + tile * a->oh * a->ow;
    for (ptrdiff_t y = 0; y < a->oh; y++) {
        const ptrdiff_t image_y = y * a->stride_y + u * a->dilation_y - a->top;
        for (ptrdiff_t x = 0; x < a->ow; x++) {
            const ptrdiff_t image_x = x * a->stride_x + v * a->dilation_x - a->left;
            const int inside = 0 <= image_y && image_y < a->h && 0 <= image_x && image_x < a->w;
            row[y * a->ow + x] = inside ? image[image_y * a->w + image_x] : 0.0f;
        }
    }
}

KERNEL(col2im) {
    const rn_columns_args *a = arguments;
    (void)scratch;
    float *image = a->to + tile * a->h * a->w;
    memset(image, 0, (size_t)(a->h * a->w) * sizeof *image);
    for (ptrdiff_t tap = 0; tap < a->kh * a->kw; tap++) {
        const ptrdiff_t u = tap / a->kw, v = tap % a->kw;
        const float *row = a->from + (tile * a->kh * a->kw + tap) * a->oh * a->ow;
        for (ptrdiff_t y = 0; y < a->oh; y++) {
            const ptrdiff_t image_y = y * a->stride_y + u * a->dilation_y - a->top;
            if (image_y < 0 || image_y >= a->h) continue;
            for (ptrdiff_t x = 0; x < a->ow; x++) {
                const ptrdiff_t image_x = x * a->stride_x + v * a->dilation_x - a->left;
                if (0 <= image_x && image_x < a->w) image[image_y * a->w + image_x] += row[y * a->ow + x];
            }
        }
    }
}
