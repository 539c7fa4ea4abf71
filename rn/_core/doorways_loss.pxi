# Doorways of the losses and of counting what is right. Each leaves a float64 in a kept tensor of two floats.

cdef extern from "rn.h" nogil:
    ctypedef struct rn_sum_partials_args:
        const double *partial
        double *total
        ptrdiff_t n

    ctypedef struct rn_element_loss_args:
        const float *prediction
        const float *target
        const float *weights
        float *gradient
        float *probabilities
        double *partial
        ptrdiff_t n
        ptrdiff_t outputs

    ctypedef struct rn_class_loss_args:
        const float *prediction
        const float *target
        const float *weights
        const int32_t *classes
        float *gradient
        float *probabilities
        double *partial
        ptrdiff_t n
        ptrdiff_t c
        ptrdiff_t rows


cdef Slot partials(Plan plan, Slot total, Py_ssize_t tiles):
    """Where each tile leaves its share of `total`: in `total` itself if there is one tile."""
    if total.size != 2:
        raise ShapeError(f"a float64 result needs a tensor of 2 floats, got shape {total.shape}")
    return total if tiles == 1 else plan.tensor((2 * tiles,))


cdef int add_partials(Plan plan, Slot partial, Slot total, Py_ssize_t tiles) except -1:
    """Record the sum of the tiles' shares, in the tiles' order, where there is more than one (or none)."""
    if partial is total:
        return 0
    cdef rn_sum_partials_args *a = <rn_sum_partials_args *> plan.record(
        "sum_partials", KERNELS.sum_partials, sizeof(rn_sum_partials_args), 1, 0, tiles, 8.0 * tiles)
    a.n = tiles
    plan.link(&a.partial, partial, READ)
    plan.link(&a.total, total, WRITE)
    return 0


cdef int check_weights(Slot weights, Py_ssize_t n) except -1:
    if weights is not None and weights.size != n:
        raise ShapeError(f"weights need one number for each of {n} samples, got shape {weights.shape}")
    return 0


cdef int check_apart(str name, Slot probabilities, Slot gradient) except -1:
    if probabilities is not None and gradient is not None and probabilities.root is gradient.root:
        raise OptionError(f"probabilities and gradient of {name} cannot be the same tensor")
    return 0


cdef int element_loss(Plan plan, str name, rn_kernel kernel, double flops, Slot prediction, Slot target, Slot loss,
                      Slot probabilities, Slot gradient, Slot weights) except -1:
    same_shape("target", target, "the prediction", prediction)
    cdef Py_ssize_t size = prediction.size
    cdef Py_ssize_t n = prediction.shape[0]
    check_weights(weights, n)
    check_apart(name, probabilities, gradient)
    cdef double arrays = 2
    for extra in (probabilities, gradient):
        if extra is not None:
            same_shape("a result of the loss", extra, "the prediction", prediction)
            arrays += 1
    cdef Py_ssize_t tiles = element_tiles(size)
    cdef Slot partial = partials(plan, loss, tiles)
    cdef rn_element_loss_args *a = <rn_element_loss_args *> plan.record(
        name, kernel, sizeof(rn_element_loss_args), tiles, 0, flops * size, 4.0 * arrays * size)
    a.n = size
    a.outputs = size // max(n, 1)
    plan.link(&a.prediction, prediction, READ)
    plan.link(&a.target, target, READ)
    plan.link(&a.partial, partial, WRITE)
    if weights is not None:
        plan.link(&a.weights, weights, READ)
    if probabilities is not None:
        plan.link(&a.probabilities, probabilities, WRITE)
    if gradient is not None:
        plan.link(&a.gradient, gradient, WRITE)
    return add_partials(plan, partial, loss, tiles)


def mse(Plan plan, Slot prediction, Slot target, Slot loss, *, Slot gradient=None, Slot weights=None) -> None:
    """Record loss = mean of w_i (p - t)^2 over samples i and outputs, and gradient = 2 (p - t) w_i / (n outputs) if wanted.

    ``target`` and ``gradient`` have the shape of ``prediction``, ``weights`` (n,) defaults to 1, ``loss`` is a float64 in a
    kept tensor of 2 floats. Raises ``ShapeError``.
    """
    element_loss(plan, "mse", KERNELS.mse, 3.0, prediction, target, loss, None, gradient, weights)


def mae(Plan plan, Slot prediction, Slot target, Slot loss, *, Slot gradient=None, Slot weights=None) -> None:
    """Record loss = mean of w_i |p - t| over samples i and outputs, and gradient = sign(p - t) w_i / (n outputs) if wanted.

    Shapes as for ``mse``; the sign of 0 is 0.
    """
    element_loss(plan, "mae", KERNELS.mae, 3.0, prediction, target, loss, None, gradient, weights)


def binary_cross_entropy(Plan plan, Slot prediction, Slot target, Slot loss, *, Slot gradient=None, Slot weights=None) -> None:
    """Record loss = mean of -w_i (t log p + (1 - t) log(1 - p)) over samples i and outputs, p probabilities, and its gradient.

    p and 1 - p are taken for 1e-7 (Keras' epsilon) where they are less: loss and gradient stay finite, and the gradient of a
    hopeless p still points home. Shapes as for ``mse``.
    """
    element_loss(plan, "binary_cross_entropy", KERNELS.binary_cross_entropy, 50.0, prediction, target, loss, None, gradient,
                 weights)


def sigmoid_binary_cross_entropy(Plan plan, Slot logits, Slot target, Slot loss, *, Slot probabilities=None,
                                 Slot gradient=None, Slot weights=None) -> None:
    """Record loss = mean of w_i (log(1 + e^z) - t z) over samples i and outputs, z logits, stable for any finite z.

    Also, where wanted, probabilities p = sigmoid(z) and gradient = (p - t) w_i / (n outputs); either may be ``logits``, not
    both. Shapes as for ``mse``.
    """
    element_loss(plan, "sigmoid_binary_cross_entropy", KERNELS.sigmoid_binary_cross_entropy, 50.0, logits, target, loss,
                 probabilities, gradient, weights)


cdef int class_loss(Plan plan, str name, rn_kernel kernel, double flops, Slot prediction, Slot target, Slot result,
                    bint target_classes, Slot probabilities, Slot gradient, Slot weights) except -1:
    n, c, h, w = prediction.shape
    if h * w != 1 or c < 1:
        raise ShapeError(f"{name} takes rows of classes, shape (n, classes, 1, 1), got {prediction.shape}")
    if target_classes and target.size != n:
        raise ShapeError(f"{name} needs one class for each of {n} samples, got shape {target.shape}")
    if not target_classes:
        same_shape("target", target, "the prediction", prediction)
    check_weights(weights, n)
    check_apart(name, probabilities, gradient)
    cdef double arrays = 1 if target_classes else 2
    for extra in (probabilities, gradient):
        if extra is not None:
            same_shape(f"a result of {name}", extra, "the prediction", prediction)
            arrays += 1
    cdef Py_ssize_t rows = rows_of_tile(c)
    cdef Py_ssize_t tiles = (n + rows - 1) // rows
    cdef Slot partial = partials(plan, result, tiles)
    cdef rn_class_loss_args *a = <rn_class_loss_args *> plan.record(
        name, kernel, sizeof(rn_class_loss_args), tiles, 0, flops * prediction.size, 4.0 * arrays * prediction.size)
    a.n = n
    a.c = c
    a.rows = rows
    plan.link(&a.prediction, prediction, READ)
    if target_classes:
        plan.link(&a.classes, target, READ)
    else:
        plan.link(&a.target, target, READ)
    plan.link(&a.partial, partial, WRITE)
    if weights is not None:
        plan.link(&a.weights, weights, READ)
    if probabilities is not None:
        plan.link(&a.probabilities, probabilities, WRITE)
    if gradient is not None:
        plan.link(&a.gradient, gradient, WRITE)
    return add_partials(plan, partial, result, tiles)


def cross_entropy(Plan plan, Slot probabilities, Slot target, Slot loss, *, bint target_classes=False, Slot gradient=None,
                  Slot weights=None) -> None:
    """Record loss = mean over samples i of -w_i sum_j t_ij log p_ij, p probabilities; gradient = -t_ij / p_ij w_i / n if wanted.

    ``probabilities`` and ``gradient`` are (n, classes, 1, 1); ``target`` is (n,) int32 classes where ``target_classes``, else
    rows t (one-hot or soft) of the shape of ``probabilities``. p is taken for 1e-7 (Keras' epsilon) where it is less: loss and
    gradient stay finite. A class out of range makes its row's loss and gradient NaN. ``weights`` (n,) defaults to 1. Raises
    ``ShapeError``.
    """
    class_loss(plan, "cross_entropy", KERNELS.cross_entropy, 25.0, probabilities, target, loss, target_classes, None, gradient,
               weights)


def softmax_cross_entropy(Plan plan, Slot logits, Slot target, Slot loss, *, bint target_classes=False,
                          Slot probabilities=None, Slot gradient=None, Slot weights=None) -> None:
    """Record the cross-entropy of softmax(z), z logits: loss = mean of w_i (log(sum_j e^z_ij) - z_iy), for any finite z.

    Also, where wanted, ``probabilities`` p and gradient = (p - t) w_i / n (exactly p sum(t) - t); either may be ``logits``,
    they may not be the same tensor. ``target`` and ``weights`` as for ``cross_entropy``. Raises ``ShapeError`` or
    ``OptionError``.
    """
    class_loss(plan, "softmax_cross_entropy", KERNELS.softmax_cross_entropy, 40.0, logits, target, loss, target_classes,
               probabilities, gradient, weights)


def count_correct(Plan plan, Slot prediction, Slot target, Slot correct, *, bint target_classes=False) -> None:
    """Record correct = the share of samples whose class is predicted right, a float64 like a loss.

    The class of a row is the place of its first largest; of a single column, 1 above one half, else 0. ``target`` as for
    ``cross_entropy``. A row with NaN is wrong. Raises ``ShapeError``.
    """
    class_loss(plan, "count_correct", KERNELS.count_correct, 1.0, prediction, target, correct, target_classes, None, None, None)
