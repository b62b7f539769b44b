#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ldm/loading/embedding_request.h"

namespace ldm {

/// Learned vectors of a word (textual inversion, Gal et al. 2022).
struct LearnedEmbedding {
  EmbeddingUse use;
  std::filesystem::path file;
  at::Tensor vectors;  ///< [use.vectors, D] fp32
};

/// Reads a file of diffusers (one tensor under the word's name) or of AUTOMATIC1111
/// (`string_to_param`, or `emb_params`), safetensors or torch's. The word is the choice's, else
/// diffusers' name, else the file's without its ending. Error::model for a file that is none, for
/// SDXL's, for vectors that are not finite or more than `most`.
LearnedEmbedding read_embedding(const EmbeddingChoice& choice, std::size_t most);

}  // namespace ldm
