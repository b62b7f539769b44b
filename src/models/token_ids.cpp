#include "ldm/models/token_ids.h"

#include <ATen/ops/aminmax.h>

#include <tuple>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {

void check_token_ids(const at::Tensor& ids, std::int64_t positions, std::int64_t vocabulary,
                     std::string_view what) {
  if (ids.dim() != 2 || ids.size(1) < 1 || ids.size(1) > positions) {
    throw Error::model(cat("the ", what, " takes ids [B, N] with N from 1 to ", positions,
                           ", found shape ", ids.sizes()));
  }
  // Reading ids back from a GPU would stall it; there the embedding kernel itself checks.
  if (!ids.is_cpu() || ids.numel() == 0) return;
  const auto [low, high] = at::aminmax(ids);
  const auto least = low.item<std::int64_t>();
  const auto most = high.item<std::int64_t>();
  if (least < 0 || most >= vocabulary) {
    throw Error::model(cat("id ", least < 0 ? least : most, " lies outside the ", what, "'s ",
                           vocabulary, " embeddings"),
                       "the tokenizer folder belongs to another text encoder");
  }
}

void refuse_clip_skip(std::int64_t clip_skip, std::string_view what) {
  if (clip_skip == 0) return;
  throw Error::usage(cat("clip skip ", clip_skip, ": the ", what, " has no layers to skip"),
                     "leave --clip-skip out");
}

void check_text_size(std::string_view what, std::string_view field, std::int64_t value) {
  constexpr std::int64_t kMostSize = std::int64_t{1} << 24;
  if (value < 1 || value > kMostSize) {
    throw Error::model(cat(what, ": ", field, " is ", value, ", expected 1 to ", kMostSize));
  }
}

}  // namespace ldm::models
