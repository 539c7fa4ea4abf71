# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled core of rn: the 4-D tensor, the plan of bound kernel calls and the doorways that bind them.

It knows tensors, kernels and plans, and nothing of layers, models or files. Buffers are checked at the doorways; below
them all is ``noexcept nogil``.
"""

cimport cython

include "kernels.pxi"
include "memory.pxi"
include "profile.pxi"
include "crew.pxi"
include "run.pxi"
include "alone.pxi"
include "tensor4d.pxi"
include "slots.pxi"
include "feeds.pxi"
include "plan.pxi"
include "lanes.pxi"
include "doorways_basic.pxi"
include "doorways_activation.pxi"
include "doorways_random.pxi"
include "doorways_loss.pxi"
include "doorways_optimizer.pxi"
include "doorways_pool.pxi"
include "doorways_gemm.pxi"
include "doorways_batch_norm.pxi"
include "doorways_image.pxi"
include "doorways_augment.pxi"
include "doorways_conv.pxi"
include "doorways_weight_gradient.pxi"
include "doorways_depthwise.pxi"
include "doorways_winograd.pxi"
include "doorways_winograd_gradient.pxi"
include "doorways_peak.pxi"
