# Doorways of matrix products.

cdef extern from "rn.h" nogil:
    enum:
        RN_KC
        RN_LONG_KC
        RN_PANEL
        RN_PAIR
        RN_SUM_COLUMNS

    ctypedef struct rn_gemm_args:
        const float *left
        const float *right
        const float *row_bias
        const float *column_bias
        float *c
        ptrdiff_t m
        ptrdiff_t n
        ptrdiff_t k
        ptrdiff_t left_row
        ptrdiff_t left_step
        ptrdiff_t right_step
        ptrdiff_t right_column
        ptrdiff_t c_row
        ptrdiff_t row_block
        ptrdiff_t column_block
        ptrdiff_t column_tiles
        ptrdiff_t strip
        int left_packed
        int right_in_place
        int right_panels
        int whole_rows
        int transposed
        int accumulate
        int activation
        float alpha

    ctypedef struct rn_pack_columns_args:
        const float *from_ "from"
        float *to
        ptrdiff_t n
        ptrdiff_t k

    ctypedef struct rn_add_blocks_args:
        const float *x
        const float *bias
        float *c
        ptrdiff_t blocks
        ptrdiff_t n
        int activation
        float alpha

    ctypedef struct rn_sum_rows_args:
        const float *x
        float *total
        ptrdiff_t m
        ptrdiff_t n
        int accumulate

# The block of k, as the kernels have it.
cdef Py_ssize_t KC = RN_KC if NARROW else RN_LONG_KC
# Tiles are cut until there are this many, so that several threads find work, but none below this much work: packing would
# not pay.
cdef Py_ssize_t WANTED_TILES = 16
cdef double TILE_FLOPS = 1e6
# Rows of a that a panel of b passes, so that it is packed once for them; above half of these it passes alone, with its columns
# of c in the second cache. Rows below which packing a panel of b costs too much.
cdef Py_ssize_t MOST_ROWS = 1024
cdef Py_ssize_t FEWEST_ROWS = 48
# Where more rows of a than these are long (LONG_ROW), so that they do not stay in the second cache, all panels of this many
# columns of b do instead, and strips of a pass them one after the other. Blocks of rows have whole tiles of 6 rows and of 8.
cdef Py_ssize_t MOST_LONG_ROWS = MOST_ROWS // 4 if NARROW else MOST_ROWS // 2
cdef Py_ssize_t LONG_ROW = 256
cdef Py_ssize_t WHOLE_TILES = 24
cdef Py_ssize_t STRIP_ROWS = 96 if NARROW else 24
cdef Py_ssize_t STRIP_COLUMNS = 64 if NARROW else 128
# Columns of b for each tile where rows of a are not contiguous, so that reading a again costs more, and where panels pass in
# pairs.
cdef Py_ssize_t FEWEST_COLUMNS = 64
# b is read in place up to rows of this many floats: longer ones lie in too many pages, and collide in the cache. Rows of a from
# which on b is packed wherever its rows collide, unless it is read in long pairs of panels, which come from the second cache in
# either case; filters of a convolution that pack planes for the same reason.
cdef Py_ssize_t LONGEST_IN_PLACE = 704
cdef Py_ssize_t MANY_ROWS = 60 if NARROW else 96
cdef Py_ssize_t MANY_FILTERS = 96
# Rows pass all columns of a tile in one call, on vectors of 16, where chains are no longer and columns no fewer than these. So
# few rows of b may be as long as they like.
cdef Py_ssize_t WHOLE_ROW_CHAIN = 24
cdef Py_ssize_t WHOLE_ROW_COLUMNS = 128
# Columns of one tile: of all products, and of those so small that one tile is all that is wanted.
cdef Py_ssize_t MOST_COLUMNS = 512
cdef Py_ssize_t MOST_COLUMNS_ALONE = 1024
# Products of a plan of this many rows and columns at least, with chains of this length, pack both operands; not those of so many
# more columns that b, of which each tile reads all, takes longer to come than to use. Tiles of more rows read b less often, but
# a's, packed, share the second cache with b and c: 48 took least at 1024^3. On vectors of 16 pairs of panels take less time.
cdef Py_ssize_t LARGE = 384
cdef Py_ssize_t LARGE_CHAIN = 64
cdef Py_ssize_t COLUMNS_OF_ROW = 2
cdef Py_ssize_t FEWEST_PACKED_ROWS = 24
cdef Py_ssize_t MOST_PACKED_ROWS = 48
# From so many floats on the weights that one row passes fill most of a second cache: what is read last then stays for the next
# run, which begins with it (Call.alternates).
cdef Py_ssize_t LARGE_WEIGHTS = 1 << 18


cdef Py_ssize_t divide_up(Py_ssize_t a, Py_ssize_t b):
    return (a + b - 1) // b


cdef bint collides(Py_ssize_t step, Py_ssize_t count):
    """Whether `count` lines, `step` floats apart, push each other out of a first cache of 8 ways of 4 KiB."""
    cdef Py_ssize_t apart = 1024  # what sets the lines fall into are so many floats apart
    while step % apart:
        apart //= 2
    return count * apart > 8 * 1024


cdef Py_ssize_t even_block(Py_ssize_t length, Py_ssize_t parts, Py_ssize_t multiple):
    """The size of `parts` even blocks of `length`, rounded up to a multiple; at least one multiple."""
    return max(divide_up(divide_up(length, max(parts, 1)), multiple), 1) * multiple


cdef Py_ssize_t row_size(Slot slot):
    """The columns of a slot that is read as a matrix (n, c h w)."""
    return slot.shape[1] * slot.shape[2] * slot.shape[3]


cdef void refuse_overlap(str what, Slot output, tuple inputs) except *:
    """An output that shares memory with an input would be read after it was written."""
    cdef Slot slot
    for slot in inputs:
        if slot is not None and slot.root is output.root:
            raise OptionError(f"the output of {what} cannot share memory with its inputs")


def gemm(Plan plan, Slot a, Slot b, Slot c, *, bint transpose_a=False, bint transpose_b=False, Slot bias=None,
         str bias_axis="columns", str activation="linear", float alpha=0.0, bint accumulate=False) -> None:
    """Record ``c = act(op(a) op(b) + bias)``, or ``act(c + op(a) op(b) + bias)`` with ``accumulate``.

    A slot of shape (n, c, h, w) is the matrix (n, c h w); ``op`` transposes where asked. op(a) is (m, k), op(b) (k, n),
    c (m, n); ``bias`` has n elements (``bias_axis="columns"``) or m (``"rows"``). ``activation`` and ``alpha`` are those of
    ``activate``.

    The bits of a row of c do not depend on m, on threads, or on how the operands are stored. With k = 0, c is act(bias).

    Raises ``ShapeError`` where the matrices do not fit, ``OptionError`` for an unknown option and for a ``c`` that is also
    an input.
    """
    cdef Py_ssize_t a_rows = a.shape[0], a_columns = row_size(a)
    cdef Py_ssize_t b_rows = b.shape[0], b_columns = row_size(b)
    cdef Py_ssize_t m = a_columns if transpose_a else a_rows
    cdef Py_ssize_t k = a_rows if transpose_a else a_columns
    cdef Py_ssize_t n = b_rows if transpose_b else b_columns
    cdef Py_ssize_t b_k = b_columns if transpose_b else b_rows
    if k != b_k:
        raise ShapeError(f"op(a) of shape ({m}, {k}) cannot be multiplied by op(b) of shape ({b_k}, {n})")
    if c.shape[0] != m or row_size(c) != n:
        raise ShapeError(f"the product has shape ({m}, {n}), but c is ({c.shape[0]}, {row_size(c)})")
    if bias_axis not in ("columns", "rows"):
        raise OptionError(f"bias_axis is 'columns' or 'rows', not {bias_axis!r}")
    cdef Py_ssize_t bias_size = n if bias_axis == "columns" else m
    if bias is not None and bias.size != bias_size:
        raise ShapeError(f"a bias along the {bias_axis} of ({m}, {n}) has {bias_size} elements, not {bias.size}")
    cdef int code = activation_code(activation)
    refuse_overlap("gemm", c, (a, b, bias))

    # Weights of a layer, which stay while others are predicted, are turned and packed once.
    cdef bint panels = transpose_b and not plan.training and (b.root.owner is not None or b.root.prepared)
    if panels:
        with plan.prepare():
            b = packed_panels(plan, b, n, k, True)
        if m == 1 and n * k >= LARGE_WEIGHTS and not accumulate and bias_axis == "columns":
            record_row(plan, a, b, c, bias, n, k, code, alpha)
            return
    cdef bint large = packs_both(m, n, k)
    # b stored by columns must be turned while it is packed. Where a is smaller, or lies right, c^T = op(b)^T op(a)^T packs a.
    cdef bint swap = transpose_b and not panels and not large and m >= 6 and (transpose_a or m < n)
    cdef rn_gemm_args args
    args.right_panels = panels
    args.m = n if swap else m
    args.n = m if swap else n
    args.k = k
    cdef Py_ssize_t a_row = 1 if transpose_a else a_columns, a_step = a_columns if transpose_a else 1
    cdef Py_ssize_t b_step = 1 if transpose_b else b_columns, b_column = b_columns if transpose_b else 1
    args.left_row, args.left_step = (b_column if swap else a_row), (b_step if swap else a_step)
    args.right_step, args.right_column = (a_step if swap else b_step), (a_row if swap else b_column)
    args.c_row = n
    args.transposed = swap
    args.accumulate = accumulate
    args.activation = code
    args.alpha = alpha
    cdef Py_ssize_t tiles = cut_large(&args) if large else cut_gemm(&args)
    cdef Py_ssize_t scratch = (args.row_block * KC + 16) * <Py_ssize_t> sizeof(float) if large else gemm_scratch(&args)
    cdef Slot left = b if swap else a, right = a if swap else b
    # What is stored by columns is turned once for all rows of tiles; large products read all of b as panels.
    if not panels and (large or args.right_column != 1 and args.row_block < args.m):
        right, args.right_panels = packed_panels(plan, right, args.n, k, args.right_column != 1), True

    cdef rn_gemm_args *call = <rn_gemm_args *> plan.record(
        "gemm_packed" if large else "gemm", KERNELS.gemm_packed if large else KERNELS.gemm, sizeof(rn_gemm_args), tiles,
        scratch, 2.0 * m * n * k, 4.0 * (<double> m * k + <double> k * n + <double> m * n))
    call[0] = args
    call.left = call.right = call.row_bias = call.column_bias = call.c = NULL
    plan.link(&call.left, left, READ)
    plan.link(&call.right, right, READ)
    plan.link(&call.c, c, UPDATE if accumulate else WRITE)
    if bias is not None:
        plan.link(&call.row_bias if (bias_axis == "rows") != swap else &call.column_bias, bias, READ)


cdef void record_row(Plan plan, Slot a, Slot b, Slot c, Slot bias, Py_ssize_t n, Py_ssize_t k, int activation,
                     float alpha) except *:
    """Record the product of one row and panels, by blocks of k that are worked from either end by turns."""
    cdef Py_ssize_t blocks = divide_up(k, KC)
    cdef Slot sums = plan.tensor((blocks, n))
    cdef rn_gemm_args *products = <rn_gemm_args *> plan.record(
        "gemm", KERNELS.gemm_blocks, sizeof(rn_gemm_args), blocks * divide_up(n, RN_PAIR), 0, 2.0 * n * k,
        4.0 * (<double> k + <double> k * n + <double> blocks * n))
    products.m, products.n, products.k, products.right_panels = 1, n, k, True
    products.column_block, products.column_tiles = RN_PAIR, divide_up(n, RN_PAIR)
    products.row_block = products.strip = 1
    plan.alternate()
    plan.link(&products.left, a, READ)
    plan.link(&products.right, b, READ)
    plan.link(&products.c, sums, WRITE)
    cdef rn_add_blocks_args *total = <rn_add_blocks_args *> plan.record(
        "gemm_add_blocks", KERNELS.add_blocks, sizeof(rn_add_blocks_args), divide_up(n, RN_SUM_COLUMNS), 0, <double> blocks * n,
        4.0 * (blocks + 2) * n)
    total.blocks, total.n, total.activation, total.alpha = blocks, n, activation, alpha
    plan.link(&total.x, sums, READ)
    plan.link(&total.c, c, WRITE)
    if bias is not None:
        plan.link(&total.bias, bias, READ)


cdef Slot packed_panels(Plan plan, Slot b, Py_ssize_t n, Py_ssize_t k, bint by_columns):
    """Record the packing of b, a right operand of n columns of k, stored by columns or by rows."""
    cdef Slot packed = plan.tensor((divide_up(n, RN_PANEL) * RN_PANEL * k,))
    cdef rn_pack_columns_args *a = <rn_pack_columns_args *> plan.record(
        "gemm_pack_columns" if by_columns else "gemm_pack_rows", KERNELS.pack_columns if by_columns else KERNELS.pack_rows,
        sizeof(rn_pack_columns_args), divide_up(n, RN_PANEL), 0, 0.0, 8.0 * n * k)
    a.n, a.k = n, k
    plan.link(&a.from_, b, READ)
    plan.link(&a.to, packed, WRITE)
    return packed


cdef bint packs_both(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k):
    """Whether a product is so large that packing both operands costs less than reading either where it lies."""
    return NARROW and m >= LARGE and LARGE <= n <= COLUMNS_OF_ROW * m and k >= LARGE_CHAIN


cdef Py_ssize_t cut_large(rn_gemm_args *a):
    """Fill in the rows of a tile of a product that packs both operands; return the number of tiles."""
    cdef Py_ssize_t rows = min(max(a.m // WANTED_TILES, FEWEST_PACKED_ROWS), MOST_PACKED_ROWS)
    a.row_block = even_block(a.m, divide_up(a.m, rows), 6)
    return divide_up(a.m, a.row_block)


cdef Py_ssize_t cut_gemm(rn_gemm_args *a):
    """Fill in the blocks and what is packed, from the sizes and the vectors' width; return the number of tiles."""
    cdef double flops = 2.0 * a.m * a.n * a.k
    cdef Py_ssize_t wanted = <Py_ssize_t> max(1.0, min(<double> WANTED_TILES, flops / TILE_FLOPS))
    cdef bint strips = a.m > MOST_LONG_ROWS and a.left_step == 1 and a.k >= LONG_ROW and a.n > RN_PANEL
    cdef Py_ssize_t row_tiles = max(1, divide_up(a.m, MOST_ROWS))
    cdef Py_ssize_t most_columns = MOST_COLUMNS if wanted > 1 else MOST_COLUMNS_ALONE
    cdef Py_ssize_t widest = STRIP_COLUMNS if strips else RN_PANEL if a.m > MOST_ROWS // 2 else most_columns
    cdef Py_ssize_t column_tiles = max(1, divide_up(a.n, widest)), most
    if strips:
        wanted //= 2  # more tiles would pack b more often
    elif row_tiles * column_tiles < wanted:
        most = divide_up(a.n, RN_PANEL if NARROW and a.left_step == 1 else FEWEST_COLUMNS)
        column_tiles = max(column_tiles, min(most, divide_up(wanted, row_tiles)))
    if row_tiles * column_tiles < wanted:
        row_tiles = max(row_tiles, min(a.m // FEWEST_ROWS, divide_up(wanted, column_tiles)))
    a.row_block = even_block(a.m, row_tiles, WHOLE_TILES if strips else 6)
    a.column_block = even_block(a.n, column_tiles, RN_PANEL)
    a.column_tiles = divide_up(a.n, a.column_block)
    a.strip = STRIP_ROWS if strips else a.row_block
    # Steps of 4 KiB and more cross many pages; rows, even those that meet in one set of the cache, are read six at a time.
    a.left_packed = a.left_step >= 1024 and a.k >= 64 and a.column_block >= 64
    cdef bint whole_rows = (not NARROW and 0 < a.k <= WHOLE_ROW_CHAIN and a.column_block >= WHOLE_ROW_COLUMNS
                            and a.left_step == 1 and a.right_column == 1 and not a.right_panels and not a.accumulate)
    cdef bint right_collides = (collides(a.right_step, a.k) if whole_rows else
                                a.right_step > LONGEST_IN_PLACE or a.right_step % 512 == 0)
    a.right_in_place = a.right_column == 1 and (a.row_block <= 12 or not right_collides)
    cdef bint long_pairs = not NARROW and a.k >= LONG_ROW and min(a.n, a.column_block) >= RN_PAIR
    if a.row_block >= MANY_ROWS and not long_pairs and collides(a.right_step, min(a.k, KC)):
        a.right_in_place = False
    a.whole_rows = whole_rows and a.right_in_place
    return a.column_tiles * divide_up(a.m, a.row_block)


cdef Py_ssize_t gemm_scratch(const rn_gemm_args *a):
    """The bytes that a tile of a product needs, after cut_gemm."""
    cdef Py_ssize_t floats = KC * (a.column_block if a.strip < a.row_block else RN_PAIR)
    if a.left_packed:
        floats += a.row_block * KC
    if a.transposed:
        floats += a.row_block * a.column_block
    return floats * <Py_ssize_t> sizeof(float)


def sum_rows(Plan plan, Slot x, Slot total, bint accumulate=False) -> None:
    """Record ``total[j] = sum_i x[i, j]``, or with ``accumulate`` add that to ``total``.

    ``x`` of shape (n, c, h, w) is the matrix (n, c h w); ``total`` has c h w elements, else ``ShapeError`` is raised.
    """
    cdef Py_ssize_t m = x.shape[0]
    cdef Py_ssize_t n = row_size(x)
    if total.size != n:
        raise ShapeError(f"the sum of the rows of ({m}, {n}) has {n} elements, not {total.size}")
    refuse_overlap("sum_rows", total, (x,))
    cdef rn_sum_rows_args *a = <rn_sum_rows_args *> plan.record(
        "sum_rows", KERNELS.sum_rows, sizeof(rn_sum_rows_args), divide_up(n, RN_SUM_COLUMNS), 0, <double> m * n,
        4.0 * (m + 1) * n)
    a.m = m
    a.n = n
    a.accumulate = accumulate
    plan.link(&a.x, x, READ)
    plan.link(&a.total, total, UPDATE if accumulate else WRITE)
