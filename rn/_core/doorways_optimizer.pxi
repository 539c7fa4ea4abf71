# Doorways of the optimizers' updates: one pass over parameters, gradients and state, in place.

from libc.math cimport INFINITY, pow

cdef extern from "rn.h" nogil:
    ctypedef struct rn_sum_squares_args:
        const float *x
        double *partial
        ptrdiff_t n
        ptrdiff_t first

    ctypedef struct rn_nadam_product_state:
        uint64_t updates
        double product

    ctypedef struct rn_nadam_product_args:
        rn_nadam_product_state *state
        const rn_step *step
        double beta_1
        double base

    ctypedef struct rn_update_args:
        float *parameters
        float *velocity
        float *mean
        float *variance
        float *largest
        float *changes
        const float *gradients
        const double *squares
        const rn_nadam_product_state *product
        const rn_step *step
        ptrdiff_t n
        double clip_norm
        double weight_decay
        double momentum
        double rho
        double beta_1
        double beta_2
        double base
        float clip_value
        float epsilon
        int decoupled
        int nesterov


cdef rn_kernel update_kernel(str rule) noexcept:
    """The kernel of a rule; NULL where there is none of that name."""
    if rule == "sgd":
        return KERNELS.sgd
    if rule == "adagrad":
        return KERNELS.adagrad
    if rule == "rmsprop":
        return KERNELS.rmsprop
    if rule == "adadelta":
        return KERNELS.adadelta
    if rule == "adam":
        return KERNELS.adam
    if rule == "nadam":
        return KERNELS.nadam
    if rule == "lion":
        return KERNELS.lion
    return NULL


# (the state that a rule needs, the state that it may have, FLOPs an element)
cdef dict UPDATE_STATE = {
    "sgd": ((), ("velocity",), 6.0),
    "adagrad": (("variance",), (), 9.0),
    "rmsprop": (("variance",), ("mean", "velocity"), 12.0),
    "adadelta": (("variance", "changes"), (), 16.0),
    "adam": (("mean", "variance"), ("largest",), 16.0),
    "nadam": (("mean", "variance"), (), 16.0),
    "lion": (("mean",), (), 12.0),
}


def sum_squares(Plan plan, gradients, Slot total) -> None:
    """Record total = the sum of the squares of all elements of the tensors in ``gradients``, a float64 in a tensor of 2 floats.

    The order of summation depends on the sizes only. For ``update``'s ``squares``. Raises ``ShapeError``.
    """
    cdef Slot x
    cdef rn_sum_squares_args *a
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t tiles = sum([element_tiles(x.size) for x in gradients])
    cdef Slot partial = partials(plan, total, tiles)
    for x in gradients:
        a = <rn_sum_squares_args *> plan.record(
            "sum_squares", KERNELS.sum_squares, sizeof(rn_sum_squares_args), element_tiles(x.size), 0, 2.0 * x.size, 4.0 * x.size)
        a.n = x.size
        a.first = first
        plan.link(&a.x, x, READ)
        plan.link(&a.partial, partial, WRITE)
        first += element_tiles(x.size)
    add_partials(plan, partial, total, tiles)


def update_parameters(Plan plan, str rule, Slot parameters, Slot gradients, state, *, Slot squares=None, clip_norm=None,
                      clip_value=None, double weight_decay=0.0, bint decoupled=False, double momentum=0.0,
                      bint nesterov=False, double rho=0.9, double beta_1=0.9, double beta_2=0.999, double epsilon=1e-8,
                      double momentum_decay=0.004) -> None:
    """Record one update of ``parameters`` by ``gradients`` and an optimizer's rule; rn_optimizer.h has the formulas.

    ``rule``: "sgd", "adagrad", "rmsprop", "adadelta", "adam", "nadam" or "lion". ``state``: slots by name, each as large as the
    parameters and zero at first: sgd may have a velocity; adagrad has a variance; rmsprop a variance and maybe a mean (then it
    is centered) and a velocity; adadelta variance and changes; adam mean, variance and maybe largest (AMSGrad); nadam mean and
    variance; lion a mean. ``squares``: the sum of squares of all gradients (see ``sum_squares``), which ``clip_norm`` needs.
    A rule reads the numbers it knows of. The learning rate and the count of updates are those of the plan's ``set_step`` as it
    runs. Raises ``ShapeError`` or ``OptionError``.
    """
    cdef rn_kernel kernel = update_kernel(rule)
    if kernel == NULL:
        raise OptionError(f"there is no update rule {rule!r}; there are: {', '.join(UPDATE_STATE)}")
    needed, possible, flops = UPDATE_STATE[rule]
    if not set(needed) <= set(state) <= {*needed, *possible}:
        raise OptionError(f"{rule} has the state {(*needed, *possible)}, got {tuple(state)}")
    if ("velocity" in possible) and ("velocity" in state) != (momentum != 0.0):
        raise OptionError(f"{rule}: momentum {momentum} {'needs a' if momentum else 'takes no'} velocity")
    if nesterov and momentum == 0.0:
        raise OptionError("nesterov needs a momentum above 0")
    for name, number in (("weight_decay", weight_decay), ("momentum", momentum), ("epsilon", epsilon),
                         ("momentum_decay", momentum_decay)):
        if not number >= 0.0:
            raise OptionError(f"{name} cannot be negative, got {number}")
    for name, number in (("rho", rho), ("beta_1", beta_1), ("beta_2", beta_2)):
        if not 0.0 <= number < 1.0:
            raise OptionError(f"{name} must be at least 0 and below 1, got {number}")
    for name, number in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if number is not None and not number > 0.0:
            raise OptionError(f"{name} must be above 0, got {number}")
    if (clip_norm is None) != (squares is None):
        raise OptionError("clip_norm and squares go together")
    cdef Slot slot
    for name, slot in (("the gradient", gradients), *state.items()):
        if slot.size != parameters.size:
            raise ShapeError(f"{name} has {slot.size} elements, but there are {parameters.size} parameters")
    cdef Py_ssize_t n = parameters.size
    cdef double base = pow(0.96, momentum_decay)
    cdef Slot product = record_product(plan, beta_1, base) if rule == "nadam" else None
    cdef rn_update_args *a = <rn_update_args *> plan.record(
        rule, kernel, sizeof(rn_update_args), element_tiles(n), 0, flops * n, (12.0 + 8.0 * len(state)) * n)
    a.step = &plan.step
    a.n = n
    a.clip_norm = INFINITY if clip_norm is None else clip_norm
    a.clip_value = <float> (INFINITY if clip_value is None else clip_value)
    a.weight_decay = weight_decay
    a.momentum = momentum
    a.rho = rho
    a.beta_1 = beta_1
    a.beta_2 = beta_2
    a.base = base
    a.epsilon = <float> epsilon
    a.decoupled = decoupled
    a.nesterov = nesterov
    plan.link(&a.gradients, gradients, READ)
    plan.link(&a.parameters, parameters, UPDATE)
    if squares is not None:
        plan.link(&a.squares, squares, READ)
    if product is not None:
        plan.link(&a.product, product, READ)
    if "velocity" in state:
        plan.link(&a.velocity, state["velocity"], UPDATE)
    if "mean" in state:
        plan.link(&a.mean, state["mean"], UPDATE)
    if "variance" in state:
        plan.link(&a.variance, state["variance"], UPDATE)
    if "largest" in state:
        plan.link(&a.largest, state["largest"], UPDATE)
    if "changes" in state:
        plan.link(&a.changes, state["changes"], UPDATE)


cdef Slot record_product(Plan plan, double beta_1, double base):
    """Record the product of Nadam's momenta so far, and return the tensor that holds it between runs."""
    cdef Slot state = plan.kept((sizeof(rn_nadam_product_state) // sizeof(float),))
    cdef rn_nadam_product_args *a = <rn_nadam_product_args *> plan.record(
        "nadam_product", KERNELS.nadam_product, sizeof(rn_nadam_product_args), 1, 0, 10.0, 16.0)
    a.step = &plan.step
    a.beta_1 = beta_1
    a.base = base
    plan.link(&a.state, state, UPDATE)
    return state
