#pragma once

#include <ATen/Parallel.h>

// at::parallel_for runs on one thread, without a word, in a source that is compiled without OpenMP.
#ifndef INTRA_OP_PARALLEL
#error "compile this source with OpenMP (scripts/cmake/CpuKernels.cmake)"
#endif
