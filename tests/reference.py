"""The float64 twin of every kernel, in plain NumPy: what the kernel computes, written to be read.

Each twin of a sum also gives ``terms``, the sum of the absolute values of what was added: rounding is measured by that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# ---- activations

_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def softplus(x: Array) -> Array:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def normal_share(x: Array) -> Array:
    """Return the normal distribution's share below x."""
    return 0.5 * (1.0 + _erf(x / math.sqrt(2.0)))


_SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

ACTIVATIONS = {
    "linear": lambda x, a: x,
    "relu": lambda x, a: np.maximum(x, 0.0),
    "leaky_relu": lambda x, a: np.where(x < 0, a * x, x),
    "elu": lambda x, a: np.where(x < 0, a * np.expm1(np.minimum(x, 0.0)), x),
    "selu": lambda x, a: _SELU[0] * np.where(x < 0, _SELU[1] * np.expm1(np.minimum(x, 0.0)), x),
    "gelu": lambda x, a: x * normal_share(x),
    "sigmoid": lambda x, a: sigmoid(x),
    "hard_sigmoid": lambda x, a: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "tanh": lambda x, a: np.tanh(x),
    "softplus": lambda x, a: softplus(x),
    "softsign": lambda x, a: x / (1.0 + np.abs(x)),
    "swish": lambda x, a: x * sigmoid(x),
    "mish": lambda x, a: x * np.tanh(softplus(x)),
    "sin": lambda x, a: np.sin(x),
    "atan": lambda x, a: np.arctan(x),
    "exp": lambda x, a: np.exp(x),
    "log": lambda x, a: np.log(x),
    "sqrt": lambda x, a: np.sqrt(x),
    "cos": lambda x, a: np.cos(x),
    "erf": lambda x, a: _erf(x),
}

# Derivatives; of the left side where there are two.
SLOPES = {
    "linear": lambda x, a: np.ones_like(x),
    "relu": lambda x, a: np.where(x > 0, 1.0, 0.0),
    "leaky_relu": lambda x, a: np.where(x > 0, 1.0, a),
    "elu": lambda x, a: np.where(x > 0, 1.0, a * np.exp(np.minimum(x, 0.0))),
    "selu": lambda x, a: _SELU[0] * np.where(x > 0, 1.0, _SELU[1] * np.exp(np.minimum(x, 0.0))),
    "gelu": lambda x, a: normal_share(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi),
    "sigmoid": lambda x, a: sigmoid(x) * sigmoid(-x),
    "hard_sigmoid": lambda x, a: np.where(np.abs(x) < 3.0, 1.0 / 6.0, 0.0),
    "tanh": lambda x, a: 1.0 - np.tanh(x) ** 2,
    "softplus": lambda x, a: sigmoid(x),
    "softsign": lambda x, a: (1.0 + np.abs(x)) ** -2.0,
    "swish": lambda x, a: sigmoid(x) * (1.0 + x * sigmoid(-x)),
    "mish": lambda x, a: np.tanh(softplus(x)) + x * sigmoid(x) * (1.0 - np.tanh(softplus(x)) ** 2),
    "sin": lambda x, a: np.cos(x),
    "atan": lambda x, a: 1.0 / (1.0 + x * x),
    "exp": lambda x, a: np.exp(x),
    "log": lambda x, a: 1.0 / x,
    "sqrt": lambda x, a: 0.5 / np.sqrt(x),
    "cos": lambda x, a: -np.sin(x),
    "erf": lambda x, a: 2.0 / math.sqrt(math.pi) * np.exp(-x * x),
}


def activate(x: Array, name: str, alpha: float = 0.0) -> Array:
    """Return act(x)."""
    return ACTIVATIONS[name](np.asarray(x, np.float64), alpha)


def activate_gradient(x: Array, dy: Array, name: str, alpha: float = 0.0) -> Array:
    """Return dy act'(x)."""
    return np.asarray(dy, np.float64) * SLOPES[name](np.asarray(x, np.float64), alpha)


# ---- matrix products


def activated(total: Array, terms: Array, name: str, alpha: float) -> tuple[Array, Array]:
    """Return act(total) and the terms of both: of the sum and, where act is no choice of lines, of its own rounding."""
    result = activate(total, name, alpha)
    return result, terms if name in ("linear", "relu", "leaky_relu") else terms + np.abs(result)


def gemm(
    a,
    b,
    c=None,
    *,
    transpose_a=False,
    transpose_b=False,
    bias=None,
    bias_axis="columns",
    activation="linear",
    alpha=0.0,
):
    """Return act(op(a) op(b) [+ c] + bias) and the terms of the sum."""
    a = np.asarray(a, np.float64).T if transpose_a else np.asarray(a, np.float64)
    b = np.asarray(b, np.float64).T if transpose_b else np.asarray(b, np.float64)
    total, terms = a @ b, np.abs(a) @ np.abs(b)
    if c is not None:
        total, terms = total + c, terms + np.abs(c)
    if bias is not None:
        bias = np.asarray(bias, np.float64).reshape((1, -1) if bias_axis == "columns" else (-1, 1))
        total, terms = total + bias, terms + np.abs(bias)
    return activated(total, terms, activation, alpha)


def sum_rows(x, total=None):
    """Return sum_i x[i, j] [+ total[j]] and the terms of the sum."""
    x = np.asarray(x, np.float64)
    start = np.zeros(x.shape[1]) if total is None else np.asarray(total, np.float64)
    return start + x.sum(0), np.abs(start) + np.abs(x).sum(0)


# ---- random numbers


def philox_words(n: int, seed: int, purpose: int, step: int, attempt: int = 0) -> NDArray[np.uint32]:
    """Return the generator's words for elements 0 … n - 1: counter (block low, block high, step, purpose), key seed."""
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)
    c = [
        blocks & 0xFFFFFFFF,
        (blocks >> 32) | (attempt << 16),
        np.full_like(blocks, step),
        np.full_like(blocks, purpose),
    ]
    key = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ key[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ key[1], a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, axis=1).reshape(-1)[:n].astype(np.uint32)


def dropout_mask(n: int, rate: float, seed: int, purpose: int, step: int) -> NDArray[np.bool_]:
    """Return which of n elements are kept."""
    return philox_words(n, seed, purpose, step) >= rate * 2.0**32


def random_uniform(n: int, low: float, high: float, seed: int, purpose: int, step: int) -> Array:
    return low + (high - low) * (philox_words(n, seed, purpose, step) >> 8) * 2.0**-24


def random_normal(n: int, mean: float, std: float, seed: int, purpose: int, step: int, truncated: bool) -> Array:
    z = np.full(n, np.inf)
    attempt = 0
    while np.any(again := np.abs(z) > (2.0 if truncated else 100.0)):
        u = (philox_words((n + 3) // 4 * 4, seed, purpose, step, attempt) >> 8) * 2.0**-24
        radius, angle = np.sqrt(-2.0 * np.log(u[0::2] + 2.0**-24)), 2.0 * np.pi * u[1::2]
        fresh = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]
        z = np.where(again, fresh, z)
        attempt += 1
    return mean + std * z


def shuffled(n: int, seed: int, purpose: int, step: int) -> NDArray[np.int64]:
    words = philox_words(4 * n, seed, purpose, step).reshape(n, 4)
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = (i + 1) * ((int(words[i, 0]) << 32) + int(words[i, 1])) >> 64
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


# ---- convolutions: x (n, c, h, w), weight (filters, c / groups, kh, kw), y (n, filters, oh, ow)


def conv2d_windows(x, kernel, stride, padding, dilation):
    """Return what each tap of each output reads, a writable view (n, c, oh, ow, kh, kw) of the padded x, and that."""
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (0, 0), *padding))
    n, c, h, w = padded.shape
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    shape = (n, c, (h - reach[0]) // stride[0] + 1, (w - reach[1]) // stride[1] + 1, *kernel)
    sn, sc, sh, sw = padded.strides
    strides = (sn, sc, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1])
    return np.lib.stride_tricks.as_strided(padded, shape, strides), padded


def im2col(x, kernel, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
    """Return the columns (n, 1, c kh kw, oh ow) of a convolution."""
    windows, _ = conv2d_windows(x, kernel, stride, padding, dilation)
    n, c, oh, ow, kh, kw = windows.shape
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, 1, c * kh * kw, oh * ow)


def col2im(columns, shape, kernel, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
    """Return images of ``shape``, each element of the columns added where im2col read it."""
    windows, padded = conv2d_windows(np.zeros(shape), kernel, stride, padding, dilation)
    n, c, oh, ow, kh, kw = windows.shape
    taps = np.asarray(columns, np.float64).reshape(n, c, kh, kw, oh, ow)
    for u in range(kh):
        for v in range(kw):
            windows[:, :, :, :, u, v] += taps[:, :, u, v]
    (top, _), (left, _) = padding
    return padded[:, :, top : top + shape[2], left : left + shape[3]]


def conv2d(
    x,
    weight,
    *,
    bias=None,
    stride=(1, 1),
    padding=((0, 0), (0, 0)),
    dilation=(1, 1),
    groups=1,
    activation="linear",
    alpha=0.0,
):
    """Return act(x * weight + bias) and the terms of the sum."""
    weight = np.asarray(weight, np.float64)
    windows, _ = conv2d_windows(x, weight.shape[2:], stride, padding, dilation)
    n, c, oh, ow, kh, kw = windows.shape
    windows = windows.reshape(n, groups, c // groups, oh, ow, kh, kw)
    filters, weight = len(weight), weight.reshape(groups, -1, *weight.shape[1:])
    total = np.einsum("ngcyxuv,gmcuv->ngmyx", windows, weight).reshape(n, filters, oh, ow)
    terms = np.einsum("ngcyxuv,gmcuv->ngmyx", np.abs(windows), np.abs(weight)).reshape(n, filters, oh, ow)
    if bias is not None:
        bias = np.asarray(bias, np.float64).reshape(1, -1, 1, 1)
        total, terms = total + bias, terms + np.abs(bias)
    return activated(total, terms, activation, alpha)


def conv2d_input_gradient(dy, weight, shape, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    """Return d loss / d x for x of ``shape``, and the terms of its sums."""
    dy, weight = np.asarray(dy, np.float64), np.asarray(weight, np.float64)

    def spread(dy, weight):
        windows, padded = conv2d_windows(np.zeros(shape), weight.shape[2:], stride, padding, dilation)
        n, m, oh, ow = dy.shape
        split_dy = dy.reshape(n, groups, m // groups, oh, ow)
        split_weight = weight.reshape(groups, -1, *weight.shape[1:])
        columns = np.einsum("ngmyx,gmcuv->ngcyxuv", split_dy, split_weight).reshape(windows.shape)
        for u in range(weight.shape[2]):
            for v in range(weight.shape[3]):
                windows[..., u, v] += columns[..., u, v]
        (top, _), (left, _) = padding
        return padded[:, :, top : top + shape[2], left : left + shape[3]]

    return spread(dy, weight), spread(np.abs(dy), np.abs(weight))


def conv2d_weight_gradient(x, dy, kernel, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    """Return d loss / d weight, d loss / d bias, and the terms of their sums."""
    dy = np.asarray(dy, np.float64)

    def gathered(windows, dy):
        n, c, oh, ow, kh, kw = windows.shape
        windows = windows.reshape(n, groups, c // groups, oh, ow, kh, kw)
        split_dy = dy.reshape(n, groups, dy.shape[1] // groups, oh, ow)
        dweight = np.einsum("ngcyxuv,ngmyx->gmcuv", windows, split_dy).reshape(-1, c // groups, kh, kw)
        return dweight, dy.sum((0, 2, 3))

    windows, _ = conv2d_windows(x, kernel, stride, padding, dilation)
    return *gathered(windows, dy), *gathered(np.abs(windows), np.abs(dy))


# ---- pooling


def windows(shape, size, stride, padding):
    """Yield (i, j, rows, columns) for each window of an image h x w, cut to the image."""
    (h, w), (kh, kw), (sh, sw), ((top, bottom), (left, right)) = shape, size, stride, padding
    for i in range((h + top + bottom - kh) // sh + 1):
        for j in range((w + left + right - kw) // sw + 1):
            y, x = i * sh - top, j * sw - left
            yield i, j, slice(max(y, 0), min(y + kh, h)), slice(max(x, 0), min(x + kw, w))


def pooled_shape(shape, size, stride, padding):
    cells = [(length + sum(p) - k) // s + 1 for length, k, s, p in zip(shape[2:], size, stride, padding, strict=True)]
    return (*shape[:2], *cells)


def max_pool2d(x: Array, size, stride, padding) -> Array:
    y = np.zeros(pooled_shape(x.shape, size, stride, padding))
    for i, j, rows, columns in windows(x.shape[2:], size, stride, padding):
        y[:, :, i, j] = x[:, :, rows, columns].max((2, 3))
    return y


def max_pool2d_gradient(x: Array, dy: Array, size, stride, padding) -> Array:
    """Return dx; np.argmax finds the first maximum by rows, and the first NaN before any number."""
    dx = np.zeros(x.shape)
    for i, j, rows, columns in windows(x.shape[2:], size, stride, padding):
        width = columns.stop - columns.start
        for n, c in np.ndindex(x.shape[:2]):
            p, q = divmod(int(np.argmax(x[n, c, rows, columns])), width)
            dx[n, c, rows.start + p, columns.start + q] += dy[n, c, i, j]
    return dx


def avg_pool2d(x: Array, size, stride, padding) -> Array:
    y = np.zeros(pooled_shape(x.shape, size, stride, padding))
    for i, j, rows, columns in windows(x.shape[2:], size, stride, padding):
        y[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    return y


def avg_pool2d_gradient(shape, dy: Array, size, stride, padding) -> Array:
    dx = np.zeros(shape)
    for i, j, rows, columns in windows(shape[2:], size, stride, padding):
        cells = (rows.stop - rows.start) * (columns.stop - columns.start)
        dx[:, :, rows, columns] += (dy[:, :, i, j] / cells)[:, :, None, None]
    return dx


# ---- softmax and losses


def softmax(x: Array) -> Array:
    """Return the softmax over axis 1."""
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_gradient(y: Array, dy: Array) -> Array:
    return y * (dy - (y * dy).sum(1, keepdims=True))


PROBABILITY_FLOOR = 1e-7


def element_loss(
    name: str, p: Array, t: Array, weights: Array | None = None, delta: float = 1.0
) -> tuple[float, Array]:
    """Return the loss called ``name`` (one of the core's that are means over elements) and its gradient by p."""
    p, t = np.asarray(p, np.float64), np.asarray(t, np.float64)
    w = (np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)).reshape(-1, *[1] * (p.ndim - 1))
    if name == "mse":
        loss, slope = (p - t) ** 2, 2.0 * (p - t)
    elif name == "mae":
        loss, slope = np.abs(p - t), np.sign(p - t)
    elif name == "msle":
        held = np.maximum(p, 0.0)
        missed = np.log1p(held) - np.log1p(t)
        loss, slope = missed**2, 2.0 * missed / (1.0 + held)
    elif name == "huber":
        d = p - t
        loss = np.where(np.abs(d) <= delta, d**2 / 2.0, delta * (np.abs(d) - delta / 2.0))
        slope = np.clip(d, -delta, delta)
    elif name == "hinge":
        loss, slope = np.maximum(0.0, 1.0 - t * p), np.where(np.isnan(t * p), np.nan, -t * (t * p < 1.0))
    elif name == "binary_cross_entropy":
        log_q = np.where(1.0 - p > PROBABILITY_FLOOR, np.log1p(-np.minimum(p, 0.9999999)), np.log(PROBABILITY_FLOOR))
        q, p = np.maximum(1.0 - p, PROBABILITY_FLOOR), np.maximum(p, PROBABILITY_FLOOR)
        loss, slope = -(t * np.log(p) + (1.0 - t) * log_q), (1.0 - t) / q - t / p
    else:
        loss, slope = np.maximum(p, 0.0) - t * p + np.log1p(np.exp(-np.abs(p))), sigmoid(p) - t
    return float(np.sum(w * loss)) / max(loss.size, 1), w * slope / max(loss.size, 1)


def one_hot(classes, columns: int) -> Array:
    return (np.arange(columns) == np.asarray(classes)[:, None]).astype(np.float64)


def cross_entropy(p: Array, t: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Return the mean over rows of -sum t log p and its gradient by p; t are rows, one-hot or soft."""
    held = np.maximum(np.asarray(p, np.float64), PROBABILITY_FLOOR)
    w = np.ones(len(held)) if weights is None else np.asarray(weights, np.float64)
    n = max(len(held), 1)
    return float(w @ -(t * np.log(held)).sum(1)) / n, -t / held * w[:, None] / n


def softmax_cross_entropy(z: Array, t: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Return the mean over rows of sum t (logsumexp(z) - z) and its gradient by z.

    The logarithm of the sum is taken from the largest z down, log1p of what the others add: small losses keep digits.
    """
    z = np.asarray(z, np.float64)
    w = np.ones(len(z)) if weights is None else np.asarray(weights, np.float64)
    n = max(len(z), 1)
    below = z - z.max(1, keepdims=True) if z.size else z
    others = np.sort(np.exp(below), axis=1)[:, :-1].sum(1)
    total = t.sum(1)
    loss = total * np.log1p(others) - (t * below).sum(1)
    p = np.exp(below) / (1.0 + others)[:, None]
    return float(w @ loss) / n, (p * total[:, None] - t) * w[:, None] / n


def kl_divergence(p: Array, t: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Return the mean over rows of sum t log(t / p), 0 log 0 = 0, and its gradient by p."""
    return _relative(cross_entropy(p, t, weights), t, weights)


def softmax_kl_divergence(z: Array, t: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Return ``kl_divergence`` of softmax(z) and its gradient by z."""
    return _relative(softmax_cross_entropy(z, t, weights), t, weights)


def _relative(result: tuple[float, Array], t: Array, weights: Array | None) -> tuple[float, Array]:
    w = np.ones(len(t)) if weights is None else np.asarray(weights, np.float64)
    entropy = -(t * np.log(np.where(t == 0, 1.0, t))).sum(1)
    return result[0] - float(w @ entropy) / max(len(t), 1), result[1]


def rmse(p: Array, t: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Return the root of the mean square and its gradient by p, 0 where all are equal."""
    square, gradient = element_loss("mse", p, t, weights)
    return np.sqrt(square), gradient / (2.0 * np.sqrt(square)) if square else 0.0 * gradient


def regularize(w: Array, l1: float, l2: float) -> tuple[float, Array]:
    """Return the penalty l1 |w| + l2 w^2 and its derivative."""
    w = np.asarray(w, np.float64)
    return float(l1 * np.abs(w).sum() + l2 * (w**2).sum()), l1 * np.sign(w) + 2.0 * l2 * w


def share_in_top(p: Array, t: Array, k: int) -> float:
    """Return the share of rows whose class t is among the first k of a stable sort, largest first."""
    first = np.argsort(-p, axis=1, kind="stable")[:, :k]
    return float(np.mean((first == t[:, None]).any(1) & ~np.isnan(p).any(1)))


def confusion(p: Array, t: Array) -> Array:
    """Return counts[class, predicted class] of rows p and classes t; a single column is compared with one half."""
    guess = p[:, 0] > 0.5 if p.shape[1] == 1 else p.argmax(1)
    counts = np.zeros((max(p.shape[1], 2),) * 2)
    np.add.at(counts, (t[~np.isnan(p).any(1)], guess[~np.isnan(p).any(1)].astype(int)), 1)
    return counts


def share_correct(p: Array, t: Array) -> float:
    """Return the share of rows whose first largest is that of the target row; of one column, compared with one half."""
    decide = (lambda rows: rows[:, 0] > 0.5) if p.shape[1] == 1 else (lambda rows: np.argmax(rows, 1))
    return float(np.mean((decide(p) == decide(t)) & ~np.isnan(p).any(1)))


# ---- optimizers


def prepared(p, g, norm, *, learning_rate, weight_decay=0.0, decoupled=False, clip_norm=None, clip_value=None):
    """Return parameters and gradient as every rule takes them; ``norm``: of all gradients of the model together."""
    if clip_norm is not None:
        g = g * min(1.0, clip_norm / (norm + 1e-6))
    if clip_value is not None:
        g = np.clip(g, -clip_value, clip_value)
    if decoupled:
        return p * (1.0 - learning_rate * weight_decay), g
    return p, g + weight_decay * p


def sgd(p, g, state, t, *, learning_rate, momentum=0.0, nesterov=False):
    """Return new parameters and state after update t = 1, 2, …, as all rules below do."""
    if not momentum:
        return p - learning_rate * g, {}
    v = momentum * state["velocity"] + g
    return p - learning_rate * (g + momentum * v if nesterov else v), {"velocity": v}


def adagrad(p, g, state, t, *, learning_rate, epsilon=1e-10):
    s = state["variance"] + g * g
    return p - learning_rate * g / (np.sqrt(s) + epsilon), {"variance": s}


def rmsprop(p, g, state, t, *, learning_rate, rho=0.99, momentum=0.0, epsilon=1e-8):
    new = {"variance": rho * state["variance"] + (1.0 - rho) * g * g}
    s = new["variance"]
    if "mean" in state:
        new["mean"] = rho * state["mean"] + (1.0 - rho) * g
        s = s - new["mean"] ** 2
    change = g / (np.sqrt(s) + epsilon)
    if momentum:
        change = new["velocity"] = momentum * state["velocity"] + change
    return p - learning_rate * change, new


def adadelta(p, g, state, t, *, learning_rate, rho=0.9, epsilon=1e-6):
    s = rho * state["variance"] + (1.0 - rho) * g * g
    change = np.sqrt(state["changes"] + epsilon) / np.sqrt(s + epsilon) * g
    c = rho * state["changes"] + (1.0 - rho) * change * change
    return p - learning_rate * change, {"variance": s, "changes": c}


def adam(p, g, state, t, *, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    m = beta_1 * state["mean"] + (1.0 - beta_1) * g
    v = beta_2 * state["variance"] + (1.0 - beta_2) * g * g
    new = {"mean": m, "variance": v}
    if "largest" in state:
        v = new["largest"] = np.maximum(state["largest"], v)
    change = (m / (1.0 - beta_1**t)) / (np.sqrt(v / (1.0 - beta_2**t)) + epsilon)
    return p - learning_rate * change, new


def nadam(p, g, state, t, *, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, momentum_decay=4e-3):
    mu = [beta_1 * (1.0 - 0.5 * 0.96 ** (s * momentum_decay)) for s in range(1, int(t) + 2)]
    m = beta_1 * state["mean"] + (1.0 - beta_1) * g
    v = beta_2 * state["variance"] + (1.0 - beta_2) * g * g
    ahead = (1.0 - mu[-2]) * g / (1.0 - np.prod(mu[:-1])) + mu[-1] * m / (1.0 - np.prod(mu))
    return p - learning_rate * ahead / (np.sqrt(v / (1.0 - beta_2**t)) + epsilon), {"mean": m, "variance": v}


def lion(p, g, state, t, *, learning_rate, beta_1=0.9, beta_2=0.99):
    """Chen et al., 2023, program 1."""
    p = p - learning_rate * np.sign(beta_1 * state["mean"] + (1.0 - beta_1) * g)
    return p, {"mean": beta_2 * state["mean"] + (1.0 - beta_2) * g}


def shift_planes(x: Array, shape: tuple[int, int], top: int, left: int) -> Array:
    """y[n, c, i, j] = x[n, c, i - top, j - left] where x has such a pixel, else 0."""
    y = np.zeros((*x.shape[:2], *shape))
    for i in range(shape[0]):
        for j in range(shape[1]):
            if 0 <= i - top < x.shape[2] and 0 <= j - left < x.shape[3]:
                y[:, :, i, j] = x[:, :, i - top, j - left]
    return y


def upsample(x: Array, size: tuple[int, int]) -> Array:
    """y[n, c, i, j] = x[n, c, i // sh, j // sw]."""
    return np.repeat(np.repeat(np.asarray(x, np.float64), size[0], axis=2), size[1], axis=3)


def upsample_gradient(dy: Array, size: tuple[int, int]) -> Array:
    """dx[n, c, i, j] = sum of the dy of the pixels that x[n, c, i, j] became."""
    n, c, h, w = dy.shape
    return np.asarray(dy, np.float64).reshape(n, c, h // size[0], size[0], w // size[1], size[1]).sum(axis=(3, 5))


def channel_shape(x: Array) -> tuple[int, ...]:
    return (1, x.shape[1], *[1] * (x.ndim - 2))


def batch_moments(x: Array) -> tuple[Array, Array]:
    """Return the mean and the variance of every channel over the batch and the image."""
    axes = (0, *range(2, x.ndim))
    x = x.astype(np.float64)
    return x.mean(axes), x.var(axes)


def batch_norm(x: Array, mean: Array, variance: Array, weight=1.0, bias=0.0, epsilon: float = 1e-5) -> Array:
    shape = channel_shape(x)
    mean, variance, weight, bias = (
        np.broadcast_to(np.asarray(a, np.float64), x.shape[1]).reshape(shape) for a in (mean, variance, weight, bias)
    )
    return (x - mean) / np.sqrt(variance + epsilon) * weight + bias


def batch_norm_gradient(x: Array, g: Array, moments=None, weight=1.0, epsilon: float = 1e-5):
    """Return dx, dweight, dbias, given g = d loss / d y; ``moments`` where they are not the batch's own."""
    axes, shape = (0, *range(2, x.ndim)), channel_shape(x)
    mean, variance = batch_moments(x) if moments is None else moments
    h = batch_norm(x, mean, variance, epsilon=epsilon)
    dweight, dbias = (g * h).sum(axes), g.sum(axes)
    scale = (weight / np.sqrt(np.asarray(variance, np.float64) + epsilon)).reshape(shape)
    if moments is not None:
        return scale * g, dweight, dbias
    count = x.size / x.shape[1]
    return scale * (g - (dbias.reshape(shape) + h * dweight.reshape(shape)) / count), dweight, dbias


def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, epsilon: float = 1e-5) -> Array:
    """Each sample less its mean, over its deviation; x (n, features)."""
    x = np.asarray(x, np.float64)
    h = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + epsilon)
    return h * (1 if weight is None else weight) + (0 if bias is None else bias)


def layer_norm_gradient(
    x: Array, dy: Array, weight: Array | None = None, epsilon: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Return dx, dweight and dbias of ``layer_norm``."""
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    scale = 1 / np.sqrt(x.var(axis=1, keepdims=True) + epsilon)
    h = (x - x.mean(axis=1, keepdims=True)) * scale
    g = dy * (1 if weight is None else weight)
    dx = scale * (g - g.mean(axis=1, keepdims=True) - h * (g * h).mean(axis=1, keepdims=True))
    return dx, (dy * h).sum(axis=0), dy.sum(axis=0)
