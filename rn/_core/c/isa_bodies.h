/* The kernels' bodies, written once over the vector header that was included before. */
#define KERNEL(name) void RN_CONCATENATE(rn_, name, RN_ISA_NAME)(const void *arguments, ptrdiff_t tile, void *scratch)
#define X(name) KERNEL(name);
RN_KERNELS(X)
#undef X

#include "prefetch.h"

#include "body_move.h"
#include "body_activation.h"
#include "body_random.h"
#include "body_softmax.h"
#include "body_loss.h"
#include "body_optimizer.h"
#include "body_pool.h"
#include "body_pool_gradient.h"
#include "body_gemm.h"
#include "body_gemm_packed.h"
#include "body_walk.h"
#include "body_layout.h"
#include "body_arithmetic.h"
#include "body_power.h"
#include "body_reduce.h"
#include "body_columns.h"
#include "body_conv.h"
#include "body_conv_filters.h"
#include "body_weight_gradient.h"
#include "body_weight_dots.h"
#include "body_depthwise.h"
#include "body_winograd_matrices.h"
#include "body_winograd.h"
#include "body_winograd_gradient.h"
#include "body_winograd_scattered.h"
#include "body_layer_norm.h"
#include "body_batch_norm.h"
#include "body_image.h"
#include "body_augment.h"
#include "body_peak.h"
