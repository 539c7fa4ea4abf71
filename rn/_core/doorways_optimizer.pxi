# Doorways of the optimizers' updates: one pass over parameters, gradients and state, in place.

cdef extern from "rn.h" nogil:
    ctypedef struct rn_sgd_args:
        float *parameters
        float *velocity
        const float *gradients
        const rn_step *step
        ptrdiff_t n
        float momentum
        float weight_decay
        int nesterov

    ctypedef struct rn_adam_args:
        float *parameters
        float *mean
        float *variance
        const float *gradients
        const rn_step *step
        ptrdiff_t n
        double beta_1
        double beta_2
        double weight_decay
        float epsilon
        int decoupled


cdef int same_size(str what, Slot x, Slot parameters) except -1:
    if x.size != parameters.size:
        raise ShapeError(f"{what} has {x.size} elements, but there are {parameters.size} parameters")
    return 0


cdef int not_negative(str what, double value) except -1:
    if not value >= 0.0:
        raise OptionError(f"{what} cannot be negative, got {value}")
    return 0


def sgd(Plan plan, Slot parameters, Slot gradients, Slot velocity, *, double momentum=0.0, bint nesterov=False,
        double weight_decay=0.0) -> None:
    """Record one step of stochastic gradient descent, as ``torch.optim.SGD`` does it (Nesterov: Sutskever et al. 2013).

    g = gradient + weight_decay p; v = momentum v + g, v zero at first; p -= learning_rate v, with ``nesterov`` p -= learning_rate
    (g + momentum v). ``velocity`` is None where momentum is 0. The plan's ``set_step`` gives the learning rate. Raises
    ``ShapeError`` or ``OptionError``.
    """
    not_negative("momentum", momentum)
    not_negative("weight_decay", weight_decay)
    if (velocity is None) != (momentum == 0.0):
        raise OptionError(f"momentum {momentum} {'needs a' if momentum else 'takes no'} velocity")
    if nesterov and momentum == 0.0:
        raise OptionError("nesterov needs a momentum above 0")
    same_size("the gradient", gradients, parameters)
    cdef Py_ssize_t n = parameters.size
    if velocity is not None:
        same_size("the velocity", velocity, parameters)
    cdef rn_sgd_args *a = <rn_sgd_args *> plan.record(
        "sgd", KERNELS.sgd, sizeof(rn_sgd_args), element_tiles(n), 0, (4.0 if velocity is None else 6.0) * n,
        (12.0 if velocity is None else 20.0) * n)
    a.step = &plan.step
    a.n = n
    a.momentum = <float> momentum
    a.weight_decay = <float> weight_decay
    a.nesterov = nesterov
    plan.link(&a.gradients, gradients, READ)
    plan.link(&a.parameters, parameters, UPDATE)
    if velocity is not None:
        plan.link(&a.velocity, velocity, UPDATE)


def adam(Plan plan, Slot parameters, Slot gradients, Slot mean, Slot variance, *, double beta_1=0.9, double beta_2=0.999,
         double epsilon=1e-8, double weight_decay=0.0, bint decoupled=False) -> None:
    """Record one step of Adam, as ``torch.optim.Adam`` does it; ``decoupled`` weight decay makes it ``torch.optim.AdamW``.

    g = gradient + weight_decay p (decoupled: p *= 1 - learning_rate weight_decay instead); m = beta_1 m + (1 - beta_1) g;
    v = beta_2 v + (1 - beta_2) g^2; p -= learning_rate (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon). ``mean`` and
    ``variance`` are m and v, zero at first; t, from 1, and the learning rate come from the plan's ``set_step``. Sources: Kingma
    and Ba 2015; Loshchilov and Hutter 2019. Raises ``ShapeError`` or ``OptionError``.
    """
    for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
        if not 0.0 <= beta < 1.0:
            raise OptionError(f"{name} must be at least 0 and below 1, got {beta}")
    not_negative("epsilon", epsilon)
    not_negative("weight_decay", weight_decay)
    same_size("the gradient", gradients, parameters)
    same_size("mean", mean, parameters)
    same_size("variance", variance, parameters)
    cdef Py_ssize_t n = parameters.size
    cdef rn_adam_args *a = <rn_adam_args *> plan.record(
        "adam", KERNELS.adam, sizeof(rn_adam_args), element_tiles(n), 0, 14.0 * n, 28.0 * n)
    a.step = &plan.step
    a.n = n
    a.beta_1 = beta_1
    a.beta_2 = beta_2
    a.weight_decay = weight_decay
    a.epsilon = <float> epsilon
    a.decoupled = decoupled
    plan.link(&a.gradients, gradients, READ)
    plan.link(&a.parameters, parameters, UPDATE)
    plan.link(&a.mean, mean, UPDATE)
    plan.link(&a.variance, variance, UPDATE)
