# Doorways of the activations and of softmax.

cdef extern from "rn.h" nogil:
    enum:
        RN_LINEAR
        RN_RELU
        RN_LEAKY_RELU
        RN_ELU
        RN_SELU
        RN_GELU
        RN_SIGMOID
        RN_HARD_SIGMOID
        RN_TANH
        RN_SOFTPLUS
        RN_SOFTSIGN
        RN_SWISH
        RN_MISH
        RN_SIN
        RN_ATAN
        RN_EXP
        RN_LOG
        RN_SQRT
        RN_COS
        RN_ERF

    ctypedef struct rn_activate_args:
        const float *x
        float *y
        ptrdiff_t n
        float alpha
        int activation

    ctypedef struct rn_activate_gradient_args:
        const float *known
        const float *dy
        float *dx
        ptrdiff_t n
        float alpha
        int activation

    enum:
        RN_SOFTMAX_POSITIONS

    ctypedef struct rn_softmax_args:
        const float *x
        float *y
        ptrdiff_t n
        ptrdiff_t c
        ptrdiff_t s
        ptrdiff_t rows

    ctypedef struct rn_softmax_gradient_args:
        const float *y
        const float *dy
        float *dx
        ptrdiff_t n
        ptrdiff_t c
        ptrdiff_t s
        ptrdiff_t rows


# Name -> code. The last five are not activations of layers, but the same table serves them.
cdef dict ACTIVATIONS = {
    "linear": RN_LINEAR, "relu": RN_RELU, "leaky_relu": RN_LEAKY_RELU, "elu": RN_ELU, "selu": RN_SELU, "gelu": RN_GELU,
    "sigmoid": RN_SIGMOID, "hard_sigmoid": RN_HARD_SIGMOID, "tanh": RN_TANH, "softplus": RN_SOFTPLUS, "softsign": RN_SOFTSIGN,
    "swish": RN_SWISH, "mish": RN_MISH, "sin": RN_SIN, "atan": RN_ATAN,
    "exp": RN_EXP, "log": RN_LOG, "sqrt": RN_SQRT, "cos": RN_COS, "erf": RN_ERF,
}

cdef frozenset CHEAP_ACTIVATIONS = frozenset(
    (RN_LINEAR, RN_RELU, RN_LEAKY_RELU, RN_HARD_SIGMOID, RN_SOFTSIGN, RN_SQRT))

cdef frozenset SLOPE_FROM_OUTPUT = frozenset(
    (RN_LINEAR, RN_RELU, RN_LEAKY_RELU, RN_ELU, RN_SELU, RN_SIGMOID, RN_TANH, RN_EXP, RN_SQRT))


cdef int activation_code(str name) except -1:
    """The code of an activation in rn.h; OptionError for a name that has none."""
    code = ACTIVATIONS.get(name)
    if code is None:
        raise OptionError(f'unknown activation "{name}"; known are {", ".join(ACTIVATIONS)}')
    return code


cdef double activation_flops(int code, Py_ssize_t n):
    return n * (1.0 if code in CHEAP_ACTIVATIONS else 20.0)


cdef int same_shape(str what, Slot x, str other_name, Slot other) except -1:
    if x.shape != other.shape:
        raise ShapeError(f"{what} has shape {x.shape}, but {other_name} has shape {other.shape}; they must be equal")
    return 0


def activation_slope_from_output(str name) -> bool:
    """Return whether ``activate_gradient`` of this name works from y alone, so that x need not be kept."""
    return activation_code(name) in SLOPE_FROM_OUTPUT


def activate(Plan plan, Slot x, Slot y, str name, double alpha=0.0) -> None:
    """Record y = f(x), f the activation ``name``; ``y`` may be ``x``.

    Names: linear relu leaky_relu elu selu gelu (erf form) sigmoid hard_sigmoid (x / 6 + 1/2 inside [0, 1]) tanh softplus softsign
    swish mish sin atan, and exp log sqrt cos erf. ``alpha`` is the slope of leaky_relu below 0 and the a of elu's a (e^x - 1).
    Raises ``OptionError`` for another name, ``ShapeError`` where the shapes differ.
    """
    cdef int code = activation_code(name)
    same_shape("x", x, "y", y)
    cdef rn_activate_args *a = <rn_activate_args *> plan.record(
        "activate_" + name, KERNELS.activate, sizeof(rn_activate_args), element_tiles(x.size), 0,
        activation_flops(code, x.size), 8.0 * x.size)
    a.n = x.size
    a.alpha = <float> alpha
    a.activation = code
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)
    plan.may_overwrite(x, y)


def activate_gradient(Plan plan, Slot x, Slot y, Slot dy, Slot dx, str name, double alpha=0.0) -> None:
    """Record dx = dy f'(x), f the activation ``name`` of ``activate`` and y = f(x); ``dx`` may be ``dy``.

    Only one of x and y is read: y for linear relu leaky_relu elu selu sigmoid tanh exp sqrt (see
    ``activation_slope_from_output``), whose x may be None and lost, else x, and y may be None. leaky_relu and elu with a
    negative ``alpha`` are refused: y no longer tells the sign of x. The slope of relu and leaky_relu at 0 is that of the left
    side. Raises ``OptionError`` or ``ShapeError``.
    """
    cdef int code = activation_code(name)
    cdef bint from_output = code in SLOPE_FROM_OUTPUT
    cdef Slot known = y if from_output else x
    if known is None:
        raise OptionError(f"the gradient of {name} needs {'y' if from_output else 'x'}, got None")
    if alpha < 0 and code in (RN_LEAKY_RELU, RN_ELU):
        raise OptionError(f"the gradient of {name} needs alpha >= 0, got {alpha}")
    same_shape("y" if from_output else "x", known, "dy", dy)
    same_shape("dx", dx, "dy", dy)
    cdef rn_activate_gradient_args *a = <rn_activate_gradient_args *> plan.record(
        f"activate_{name}_gradient", KERNELS.activate_gradient, sizeof(rn_activate_gradient_args), element_tiles(dy.size), 0,
        activation_flops(code, dy.size), 12.0 * dy.size)
    a.n = dy.size
    a.alpha = <float> alpha
    a.activation = code
    plan.link(&a.known, known, READ)
    plan.link(&a.dy, dy, READ)
    plan.link(&a.dx, dx, WRITE)
    plan.may_overwrite(dy, dx)


cdef Py_ssize_t rows_of_tile(Py_ssize_t columns):
    """How many rows of `columns` elements one tile works, for kernels that go row by row with an exponential an element."""
    return max(1, 2048 // max(columns, 1))


cdef Py_ssize_t softmax_tiles(Py_ssize_t n, Py_ssize_t c, Py_ssize_t s):
    cdef Py_ssize_t rows = rows_of_tile(c)
    if s == 1:
        return (n + rows - 1) // rows
    return n * ((s + RN_SOFTMAX_POSITIONS - 1) // RN_SOFTMAX_POSITIONS)


def softmax(Plan plan, Slot x, Slot y) -> None:
    """Record y = exp(x - m) / sum(exp(x - m)), m = max(x), over axis c for each (n, h, w); ``y`` may be ``x``.

    Stable for any finite x. Raises ``ShapeError`` where the shapes differ.
    """
    same_shape("x", x, "y", y)
    n, c, h, w = x.shape
    cdef rn_softmax_args *a = <rn_softmax_args *> plan.record(
        "softmax", KERNELS.softmax, sizeof(rn_softmax_args), softmax_tiles(n, c, h * w), 0, 25.0 * x.size, 8.0 * x.size)
    a.n = n
    a.c = c
    a.s = h * w
    a.rows = rows_of_tile(c)
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)
    plan.may_overwrite(x, y)


def softmax_gradient(Plan plan, Slot y, Slot dy, Slot dx) -> None:
    """Record dx = y (dy - sum(y dy)) over axis c, y the softmax; ``dx`` may be ``dy`` or ``y``.

    Raises ``ShapeError`` where the shapes differ.
    """
    same_shape("y", y, "dy", dy)
    same_shape("dx", dx, "dy", dy)
    n, c, h, w = y.shape
    cdef rn_softmax_gradient_args *a = <rn_softmax_gradient_args *> plan.record(
        "softmax_gradient", KERNELS.softmax_gradient, sizeof(rn_softmax_gradient_args), softmax_tiles(n, c, h * w), 0,
        4.0 * y.size, 12.0 * y.size)
    a.n = n
    a.c = c
    a.s = h * w
    a.rows = rows_of_tile(c)
    plan.link(&a.y, y, READ)
    plan.link(&a.dy, dy, READ)
    plan.link(&a.dx, dx, WRITE)
    plan.may_overwrite(dy, dx)


def one_hot_largest(Plan plan, Slot x, Slot y) -> None:
    """Record y = 1 at the first largest of x over axis c and 0 elsewhere, for each (n, h, w); ``y`` may be ``x``.

    All NaN where one of them is. It has no gradient. Raises ``ShapeError`` where the shapes differ.
    """
    same_shape("x", x, "y", y)
    n, c, h, w = x.shape
    cdef Py_ssize_t rows = rows_of_tile(c)
    cdef rn_softmax_args *a = <rn_softmax_args *> plan.record(
        "one_hot_largest", KERNELS.one_hot_largest, sizeof(rn_softmax_args), (n * h * w + rows - 1) // rows if c > 0 else 0, 0,
        2.0 * x.size, 8.0 * x.size)
    a.n = n
    a.c = c
    a.s = h * w
    a.rows = rows
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)
