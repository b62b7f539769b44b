#pragma once

#include "ldm/pipeline/denoiser_graph.h"
#include "ldm/pipeline/time_embeddings.h"

namespace ldm {

/// What calls of a denoiser keep for those of later pictures.
struct DenoiserCalls {
  explicit DenoiserCalls(const LdmCudaApi* recorder) : graph(recorder) {}

  DenoiserGraph graph;
  TimeEmbeddings times;
};

}  // namespace ldm
