# Doorways of the losses and of counting what is right. Each leaves float64 sums in a kept tensor of twice as many floats.

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
        float delta

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
        ptrdiff_t k
        float threshold
        int relative
        int several

    ctypedef struct rn_sum_deviations_args:
        const float *prediction
        const float *target
        double *sums
        ptrdiff_t n
        ptrdiff_t outputs

    ctypedef struct rn_regularize_args:
        const float *weight
        float *gradient
        double *partial
        ptrdiff_t n
        float l1
        float l2


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
                      Slot probabilities, Slot gradient, Slot weights, double delta=0.0) except -1:
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
    a.delta = <float> delta
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


def msle(Plan plan, Slot prediction, Slot target, Slot loss, *, Slot gradient=None, Slot weights=None) -> None:
    """Record loss = mean of w_i (log(1 + p) - log(1 + t))^2 over samples i and outputs, and its gradient if wanted.

    p is taken for 0 where it is less, in the slope too: the loss there is that of 0, and the gradient still points to t.
    Targets are more than -1. Shapes as for ``mse``.
    """
    element_loss(plan, "msle", KERNELS.msle, 50.0, prediction, target, loss, None, gradient, weights)


def huber(Plan plan, Slot prediction, Slot target, Slot loss, *, double delta=1.0, Slot gradient=None,
          Slot weights=None) -> None:
    """Record loss = mean of w_i h(p - t) over samples i and outputs, and gradient = h'(p - t) w_i / (n outputs) if wanted.

    h(d) = d^2 / 2 as far as |d| <= ``delta``, beyond it delta (|d| - delta / 2). Shapes as for ``mse``. Raises ``OptionError``
    unless delta is finite and above 0.
    """
    if not 0.0 < delta < INFINITY:
        raise OptionError(f"delta of huber must be a finite number above 0, got {delta}")
    element_loss(plan, "huber", KERNELS.huber, 5.0, prediction, target, loss, None, gradient, weights, delta)


def hinge(Plan plan, Slot prediction, Slot target, Slot loss, *, Slot gradient=None, Slot weights=None) -> None:
    """Record loss = mean of w_i max(0, 1 - t p) over samples i and outputs, t of -1 or 1, and its gradient if wanted.

    The slope is -t where t p < 1, else 0. Shapes as for ``mse``.
    """
    element_loss(plan, "hinge", KERNELS.hinge, 4.0, prediction, target, loss, None, gradient, weights)


def rmse(Plan plan, Slot prediction, Slot target, Slot square, *, Slot gradient=None, Slot weights=None) -> None:
    """Record square = mean of w_i (p - t)^2 over samples i and outputs, and the gradient of its root if wanted.

    The root itself is left to the caller: squares of several batches can be added, roots cannot. gradient = w_i (p - t) /
    (n outputs sqrt(square)), 0 where square is 0. Shapes as for ``mse``.
    """
    element_loss(plan, "mse", KERNELS.mse, 3.0, prediction, target, square, None, None, weights)
    if gradient is None:
        return
    same_shape("a result of the loss", gradient, "the prediction", prediction)
    cdef Py_ssize_t size = prediction.size
    cdef rn_element_loss_args *a = <rn_element_loss_args *> plan.record(
        "rmse_gradient", KERNELS.rmse_gradient, sizeof(rn_element_loss_args), element_tiles(size), 0, 4.0 * size, 12.0 * size)
    a.n = size
    a.outputs = size // max(<Py_ssize_t> prediction.shape[0], 1)
    plan.link(&a.prediction, prediction, READ)
    plan.link(&a.target, target, READ)
    plan.link(&a.partial, square, READ)
    plan.link(&a.gradient, gradient, WRITE)
    if weights is not None:
        plan.link(&a.weights, weights, READ)


def regularize(Plan plan, Slot weight, Slot gradient, Slot penalty, *, double l1=0.0, double l2=0.0) -> None:
    """Record penalty = sum of l1 |w| + l2 w^2 over the elements of ``weight``, and gradient += l1 sign(w) + 2 l2 w in one pass.

    ``gradient``, of the shape of ``weight``, may be None; the sign of 0 is 0; ``penalty`` is a float64 like a loss. Raises
    ``ShapeError``, and ``OptionError`` for a factor that is negative or not finite.
    """
    for name, factor in (("l1", l1), ("l2", l2)):
        if not 0.0 <= factor < INFINITY:
            raise OptionError(f"{name} must be a finite number of at least 0, got {factor}")
    cdef Py_ssize_t tiles = element_tiles(weight.size)
    cdef Slot partial = partials(plan, penalty, tiles)
    cdef rn_regularize_args *a = <rn_regularize_args *> plan.record(
        "regularize", KERNELS.regularize, sizeof(rn_regularize_args), tiles, 0, 8.0 * weight.size, 12.0 * weight.size)
    a.n = weight.size
    a.l1 = <float> l1
    a.l2 = <float> l2
    plan.link(&a.weight, weight, READ)
    plan.link(&a.partial, partial, WRITE)
    if gradient is not None:
        same_shape("the gradient", gradient, "the weight", weight)
        plan.link(&a.gradient, gradient, UPDATE)
    add_partials(plan, partial, penalty, tiles)


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


cdef int check_classes(str name, Slot prediction, Slot target, bint target_classes) except -1:
    """Whether ``prediction`` is rows of classes, and ``target`` classes or rows as many."""
    n, c, h, w = prediction.shape
    if h * w != 1 or c < 1:
        raise ShapeError(f"{name} takes rows of classes, shape (n, classes, 1, 1), got {prediction.shape}")
    if target_classes and target.size != n:
        raise ShapeError(f"{name} needs one class for each of {n} samples, got shape {target.shape}")
    if not target_classes:
        same_shape("target", target, "the prediction", prediction)
    return 0


cdef int class_loss(Plan plan, str name, rn_kernel kernel, double flops, Slot prediction, Slot target, Slot result,
                    bint target_classes, Slot probabilities, Slot gradient, Slot weights, bint relative=False,
                    Py_ssize_t k=1, float threshold=0.5) except -1:
    check_classes(name, prediction, target, target_classes)
    n, c = prediction.shape[:2]
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
    a.relative = relative
    a.k = k
    a.threshold = threshold
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


def kl_divergence(Plan plan, Slot probabilities, Slot target, Slot loss, *, Slot gradient=None, Slot weights=None) -> None:
    """Record loss = mean over samples i of w_i sum_j t_ij log(t_ij / p_ij), p probabilities; gradient as for ``cross_entropy``.

    It is the cross-entropy less what is left at p = t; 0 log 0 is 0, and p is taken for 1e-7 where it is less. ``target`` holds
    rows t of the shape of ``probabilities``.
    """
    class_loss(plan, "kl_divergence", KERNELS.cross_entropy, 45.0, probabilities, target, loss, False, None, gradient, weights,
               relative=True)


def softmax_kl_divergence(Plan plan, Slot logits, Slot target, Slot loss, *, Slot probabilities=None, Slot gradient=None,
                          Slot weights=None) -> None:
    """Record the ``kl_divergence`` of softmax(z), z logits, for any finite z, as ``softmax_cross_entropy`` does its loss."""
    class_loss(plan, "softmax_kl_divergence", KERNELS.softmax_cross_entropy, 60.0, logits, target, loss, False, probabilities,
               gradient, weights, relative=True)


def count_correct(Plan plan, Slot prediction, Slot target, Slot correct, *, bint target_classes=False,
                  float threshold=0.5) -> None:
    """Record correct = the share of samples whose class is predicted right, a float64 like a loss.

    The class of a row is the place of its first largest; of a single column, 1 above ``threshold``, else 0. ``target`` as for
    ``cross_entropy``. A row with NaN is wrong. Raises ``ShapeError``.
    """
    class_loss(plan, "count_correct", KERNELS.count_correct, 1.0, prediction, target, correct, target_classes, None, None, None,
               False, 1, threshold)


def count_in_top(Plan plan, Slot prediction, Slot target, Slot correct, *, bint target_classes=False, Py_ssize_t k=5,
                 float threshold=0.5) -> None:
    """Record correct = the share of samples whose class is among the ``k`` largest outputs; of equals the first come first.

    Target, NaN and a single column as for ``count_correct``. Raises ``ShapeError``, and ``OptionError`` for a k below 1.
    """
    if k < 1:
        raise OptionError(f"k must be at least 1, got {k}")
    class_loss(plan, "count_in_top", KERNELS.count_in_top, 3.0, prediction, target, correct, target_classes, None, None, None,
               False, k, threshold)


cdef int class_counts(Plan plan, str name, rn_kernel kernel, Slot prediction, Slot target, Slot counts, Py_ssize_t wanted,
                      bint target_classes, float threshold, bint several) except -1:
    """Record `wanted` float64 that one tile counts."""
    check_classes(name, prediction, target, target_classes)
    if counts.size != 2 * wanted:
        raise ShapeError(f"{name} of rows {prediction.shape} leaves {wanted} float64, got shape {counts.shape}")
    cdef rn_class_loss_args *a = <rn_class_loss_args *> plan.record(
        name, kernel, sizeof(rn_class_loss_args), 1, 0, 1.0 * prediction.size, 4.0 * prediction.size)
    a.n, a.c = prediction.shape[:2]
    a.threshold, a.several = threshold, several
    plan.link(&a.prediction, prediction, READ)
    if target_classes:
        plan.link(&a.classes, target, READ)
    else:
        plan.link(&a.target, target, READ)
    plan.link(&a.partial, counts, WRITE)
    return 0


def count_classes(Plan plan, Slot prediction, Slot target, Slot counts, *, bint target_classes=False, threshold=None) -> None:
    """Record, for each class, how many samples are predicted right, are predicted as it, and are of it.

    ``counts`` holds three rows of a float64 a class; a single column has one class, 1. Classes and targets as for
    ``count_correct``; a row with NaN is predicted as no class. With a ``threshold`` a sample has each class whose number in the
    target row is above it, several or none, and is predicted so alike. Raises ``ShapeError``, and ``OptionError`` for a
    threshold of classes.
    """
    if threshold is not None and target_classes:
        raise OptionError("count_classes: a threshold parts rows of numbers, not classes")
    class_counts(plan, "count_classes", KERNELS.count_classes, prediction, target, counts, 3 * prediction.shape[1],
                 target_classes, 0.5 if threshold is None else threshold, threshold is not None)


def count_confusion(Plan plan, Slot prediction, Slot target, Slot counts, *, bint target_classes=False,
                    float threshold=0.5) -> None:
    """Record counts[t, p] = how many samples of class t are predicted as class p, k x k float64.

    k is the number of classes, 2 for a single column; the rest as for ``count_classes``.
    """
    k = max(prediction.shape[1], 2)
    class_counts(plan, "count_confusion", KERNELS.count_confusion, prediction, target, counts, k * k, target_classes, threshold,
                 False)


def sum_deviations(Plan plan, Slot prediction, Slot target, Slot sums) -> None:
    """Record four rows of a float64 for each output: the sums over samples of (p - t)^2, of t, and of t^2 in two parts.

    Of the parts, the first adds up the first 26 bits of each square, the second what they leave; see ``rn.h``.
    ``target`` has the shape of ``prediction``. Raises ``ShapeError``.
    """
    same_shape("target", target, "the prediction", prediction)
    n, c, h, w = prediction.shape
    cdef Py_ssize_t outputs = c * h * w
    if sums.size != 8 * outputs:
        raise ShapeError(f"sum_deviations of {outputs} outputs leaves {4 * outputs} float64, got shape {sums.shape}")
    cdef rn_sum_deviations_args *a = <rn_sum_deviations_args *> plan.record(
        "sum_deviations", KERNELS.sum_deviations, sizeof(rn_sum_deviations_args), 1, 0, 11.0 * prediction.size,
        8.0 * prediction.size)
    a.n = n
    a.outputs = outputs
    plan.link(&a.prediction, prediction, READ)
    plan.link(&a.target, target, READ)
    plan.link(&a.sums, sums, WRITE)
