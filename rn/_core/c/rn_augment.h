/* The kernels that change images on their way into a model, a part of rn.h.
 *
 * x and y are n images (c, h, w) of bytes or of floats, C-contiguous; `bytes` says which: 1 or 4 a pixel. A tile is one image.
 * Arithmetic is in float32, multiplications and additions rounded each by itself, so that every instruction set gives the same
 * bits. Bytes are rounded to the nearest, halves to the even one. */
#ifndef RN_AUGMENT_H
#define RN_AUGMENT_H

#include <stddef.h>
#include <stdint.h>

#define RN_AUGMENT_KERNELS(X) \
    X(crop_images) \
    X(cut_images) \
    X(warp_images) \
    X(jitter_images) \
    X(scale_images) \
    X(mix_rows)

/* crop_images: y[i, k, r, s] = x[i, k, top[i] + r', left[i] + s'] where that lies inside x, else 0; r < oh, s < ow. r' is r, or
 * oh - 1 - r where upend[i] is not 0; s' is s, or ow - 1 - s where mirror[i] is not 0. 0 FLOP. */
typedef struct {
    const uint8_t *x;
    uint8_t *y;
    const int64_t *top, *left;
    const uint8_t *upend, *mirror;
    ptrdiff_t c, h, w, oh, ow, bytes;
} rn_crop_args;

/* cut_images: y = x, but 0 in the square of `size` rows and columns whose first is at (top[i], left[i]). 0 FLOP. */
typedef struct {
    const uint8_t *x;
    uint8_t *y;
    const int64_t *top, *left;
    ptrdiff_t c, h, w, size, bytes;
} rn_cut_args;

/* warp_images: y[i, k, r, s] is x[i, k] at column m0 s + m1 r + m2 and row m3 s + m4 r + m5, between four pixels bilinearly, with
 * zeros around the image; m = map[i]. Scratch: RN_WARP_SCRATCH. 12 FLOP a pixel of y. */
typedef struct {
    const void *x;
    void *y;
    const float *map; /* (n, 6) */
    ptrdiff_t c, h, w, bytes;
} rn_warp_args;
/* An image with a frame of zeros, one pixel before and two behind, four channels side by side; of RN_WARP_ROWS rows of y the
 * pixels as floats and as bytes, and where each looks. One row at a time would be read again before it has left the store buffer.
 */
enum { RN_WARP_ROWS = 8 };
#define RN_WARP_SCRATCH(h, w) (((h) + 3) * ((w) + 3) * 16 + RN_WARP_ROWS * (w) * 32)

/* jitter_images: brightness, contrast and saturation times factor[i] = (b, s, t): p = b x; p = m + s (p - m), m the mean grey of
 * the image; p = g + t (p - g), g the pixel's grey; clipped to 0 … highest after each. A step whose factor is 1 is left out. c is
 * 3, grey 0.299 red + 0.587 green + 0.114 blue, or 1, its own grey. Scratch: an image of floats. 30 FLOP a pixel and channel. */
typedef struct {
    const void *x;
    void *y;
    const float *factor;      /* (n, 3) */
    ptrdiff_t c, size, bytes; /* size = h w */
    float highest;
} rn_jitter_args;

/* scale_images: y[i, k] = x[i, k] scale[k] + shift[k], y in floats whatever x is in. 2 FLOP a pixel. */
typedef struct {
    const void *x;
    float *y;
    const float *scale, *shift; /* (c) */
    ptrdiff_t c, size, bytes;   /* size = h w */
} rn_scale_args;

/* mix_rows: y[i, j] = share[i] x[i, j] + (1 - share[i]) other[i, j], j < size, y in floats whatever x and other are in. 3 FLOP.
 */
typedef struct {
    const void *x, *other;
    float *y;
    const float *share;
    ptrdiff_t size, bytes;
} rn_mix_args;

#endif
