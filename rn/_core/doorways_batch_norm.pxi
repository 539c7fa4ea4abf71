# Doorways of batch normalisation.

cdef extern from "rn.h" nogil:
    enum:
        RN_SAVED_ROWS

    ctypedef struct rn_batch_norm_args:
        const float *x
        const float *weight
        const float *bias
        float *y
        float *running_mean
        float *running_var
        float *saved
        ptrdiff_t n
        ptrdiff_t c
        ptrdiff_t s
        ptrdiff_t group
        double momentum
        double epsilon
        float alpha
        int activation
        int by_batch

    ctypedef struct rn_batch_norm_gradient_args:
        const float *x
        const float *dy
        const float *saved
        float *dx
        float *dweight
        float *dbias
        ptrdiff_t n
        ptrdiff_t c
        ptrdiff_t s
        ptrdiff_t group
        float alpha
        int activation
        int by_batch

    ctypedef struct rn_batch_norm_fold_args:
        const float *map
        const float *map_bias
        const float *weight
        const float *bias
        const float *running_mean
        const float *running_var
        float *folded
        float *folded_bias
        ptrdiff_t c
        ptrdiff_t columns
        ptrdiff_t group
        double epsilon


cdef int batch_norm_activation(str name) except -1:
    cdef int code = activation_code(name)
    if code not in (RN_LINEAR, RN_RELU, RN_LEAKY_RELU):
        raise OptionError(f'batch normalisation is joined with "linear", "relu" or "leaky_relu", got "{name}"')
    return code


cdef int one_a_channel(str what, Slot slot, Py_ssize_t c) except -1:
    if slot is not None and slot.size != c:
        raise ShapeError(f"{what} has {slot.size} elements, but there are {c} channels")
    return 0


# Whole cache lines of columns for vectors; of images enough channels to be worth a tile.
cdef Py_ssize_t channels_of_tile(Py_ssize_t n, Py_ssize_t s):
    return 64 if s <= 1 else max(1, RN_ELEMENT_TILE // max(n * s, 1))


def batch_norm(Plan plan, Slot x, Slot y, Slot running_mean, Slot running_var, *, Slot weight=None, Slot bias=None,
               bint by_batch=True, double momentum=0.0, double epsilon=1e-5, str activation="linear", double alpha=0.0) -> Slot:
    """Record y = f((x - m) / sqrt(v + epsilon) weight + bias) for every channel; return what ``batch_norm_gradient`` asks for.

    m and v are the channel's mean and variance over axes n, h and w where ``by_batch``, else ``running_mean`` and
    ``running_var``; where ``momentum`` is not 0 those two move to (1 - momentum) running + momentum (m, v n s / (n s - 1)).
    ``weight`` and ``bias`` (1 and 0) and the running ones have one element a channel; ``activation``: linear, relu, leaky_relu;
    ``y`` may be ``x``. Raises ``OptionError`` or ``ShapeError``.
    """
    cdef int code = batch_norm_activation(activation)
    same_shape("y", y, "x", x)
    n, c, h, w = x.shape
    for what, slot in (("weight", weight), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)):
        one_a_channel(what, slot, c)
    cdef Slot saved = plan.tensor((RN_SAVED_ROWS, c))
    cdef Py_ssize_t group = channels_of_tile(n, h * w)
    cdef rn_batch_norm_args *a = <rn_batch_norm_args *> plan.record(
        "batch_norm" if code == RN_LINEAR else "batch_norm_" + activation, KERNELS.batch_norm, sizeof(rn_batch_norm_args),
        (c + group - 1) // group, 0, 8.0 * x.size, 8.0 * x.size)
    a.n, a.c, a.s, a.group = n if x.size > 0 else 0, c, max(1, h * w), group
    a.momentum = momentum
    a.epsilon = epsilon
    a.alpha = <float> alpha
    a.activation = code
    a.by_batch = by_batch
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)
    plan.link(&a.running_mean, running_mean, UPDATE if by_batch else READ)
    plan.link(&a.running_var, running_var, UPDATE if by_batch else READ)
    plan.link(&a.saved, saved, WRITE)
    if weight is not None:
        plan.link(&a.weight, weight, READ)
    if bias is not None:
        plan.link(&a.bias, bias, READ)
    plan.may_overwrite(x, y)
    return saved


def batch_norm_gradient(Plan plan, Slot x, Slot dy, Slot saved, Slot dx=None, *, Slot dweight=None, Slot dbias=None,
                        bint by_batch=True, str activation="linear", double alpha=0.0) -> None:
    """Record the gradients of ``batch_norm`` by x, weight and bias, those of them that are given.

    x, ``saved`` and the options are those of the forward call, whose activation's slope is found again from x; ``dx`` may be
    ``dy``. Raises ``OptionError`` or ``ShapeError``.
    """
    cdef int code = batch_norm_activation(activation)
    same_shape("dy", dy, "x", x)
    if dx is not None:
        same_shape("dx", dx, "x", x)
    n, c, h, w = x.shape
    one_a_channel("dweight", dweight, c)
    one_a_channel("dbias", dbias, c)
    if saved.size != RN_SAVED_ROWS * c:
        raise ShapeError(f"what batch_norm saves of {c} channels has {RN_SAVED_ROWS * c} elements, got {saved.size}")
    cdef Py_ssize_t group = channels_of_tile(n, h * w)
    cdef rn_batch_norm_gradient_args *a = <rn_batch_norm_gradient_args *> plan.record(
        "batch_norm_gradient" if code == RN_LINEAR else f"batch_norm_{activation}_gradient", KERNELS.batch_norm_gradient,
        sizeof(rn_batch_norm_gradient_args), (c + group - 1) // group, 0, 14.0 * x.size, 12.0 * x.size)
    a.n, a.c, a.s, a.group = n if x.size > 0 else 0, c, max(1, h * w), group
    a.alpha = <float> alpha
    a.activation = code
    a.by_batch = by_batch
    plan.link(&a.x, x, READ)
    plan.link(&a.dy, dy, READ)
    plan.link(&a.saved, saved, READ)
    if dx is not None:
        plan.link(&a.dx, dx, WRITE)
        plan.may_overwrite(dy, dx)
    if dweight is not None:
        plan.link(&a.dweight, dweight, WRITE)
    if dbias is not None:
        plan.link(&a.dbias, dbias, WRITE)


def batch_norm_fold(Plan plan, Slot map, Slot map_bias, Slot running_mean, Slot running_var, Slot folded, Slot folded_bias, *,
                    Slot weight=None, Slot bias=None, double epsilon=1e-5) -> None:
    """Record the weights of a linear map with ``batch_norm`` by the running statistics after it.

    ``map`` has a row for each channel on axis 0, ``map_bias`` one number or is None; of row k, with z = weight[k] /
    sqrt(running_var[k] + epsilon): folded = map z, folded_bias = (map_bias - running_mean) z + bias. Raises ``ShapeError``.
    """
    same_shape("folded", folded, "map", map)
    cdef Py_ssize_t c = map.shape[0]
    for what, slot in (("map_bias", map_bias), ("weight", weight), ("bias", bias), ("running_mean", running_mean),
                       ("running_var", running_var), ("folded_bias", folded_bias)):
        one_a_channel(what, slot, c)
    cdef Py_ssize_t columns = map.size // max(c, 1), group = max(1, RN_ELEMENT_TILE // max(columns, 1))
    cdef rn_batch_norm_fold_args *a = <rn_batch_norm_fold_args *> plan.record(
        "batch_norm_fold", KERNELS.batch_norm_fold, sizeof(rn_batch_norm_fold_args), (c + group - 1) // group, 0,
        1.0 * map.size, 8.0 * map.size)
    a.c, a.columns, a.group = c, columns, group
    a.epsilon = epsilon
    plan.link(&a.map, map, READ)
    plan.link(&a.running_mean, running_mean, READ)
    plan.link(&a.running_var, running_var, READ)
    plan.link(&a.folded, folded, WRITE)
    plan.link(&a.folded_bias, folded_bias, WRITE)
    if map_bias is not None:
        plan.link(&a.map_bias, map_bias, READ)
    if weight is not None:
        plan.link(&a.weight, weight, READ)
    if bias is not None:
        plan.link(&a.bias, bias, READ)
