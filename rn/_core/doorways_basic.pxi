# Doorways of the kernels that move and fill.

cdef Py_ssize_t element_tiles(Py_ssize_t n):
    return (n + RN_ELEMENT_TILE - 1) // RN_ELEMENT_TILE


def fill(Plan plan, Slot y, float value) -> None:
    """Record y = value."""
    cdef rn_fill_args *a = <rn_fill_args *> plan.record(
        "fill", KERNELS.fill, sizeof(rn_fill_args), element_tiles(y.size), 0, 0.0, 4.0 * y.size)
    a.n = y.size
    a.value = value
    plan.link(&a.y, y, WRITE)


cdef Py_ssize_t gather_tiles(Py_ssize_t rows):
    return (rows + RN_GATHER_ROWS - 1) // RN_GATHER_ROWS
