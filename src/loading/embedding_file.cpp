#include "ldm/loading/embedding_file.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/checksums.h"
#include "ldm/io/convert.h"
#include "ldm/io/hash.h"
#include "ldm/io/open_tensors.h"

namespace ldm {
namespace {

constexpr const char* kA1111Tensor = "string_to_param.*";
constexpr const char* kA1111Safetensors = "emb_params";
constexpr std::size_t kListed = 5;

/// The tensor that holds the vectors.
std::string find_vectors(const TensorSource& source, const std::string& path) {
  const std::vector<std::string> names = source.names();
  const auto has = [&names](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (has("clip_g") || has("clip_l")) {
    throw Error::model(cat(path, ": this embedding was made for Stable Diffusion XL"),
                       "give one made for the model's family");
  }
  for (const char* name : {kA1111Tensor, kA1111Safetensors}) {
    if (has(name)) return name;
  }
  if (names.size() == 1) return names.front();
  throw Error::model(cat(path, ": no textual inversion: it holds ", names.size(),
                         " tensors: ", join(names, ", ", kListed)),
                     "a LoRA is given with --lora, a model with --model");
}

}  // namespace

LearnedEmbedding read_embedding(const EmbeddingChoice& choice, std::size_t most) {
  const std::string path = choice.file.string();
  const auto source = open_tensors(choice.file);
  LearnedEmbedding embedding;
  embedding.file = choice.file;
  embedding.use.name = choice.file.filename().string();
  embedding.use.sha256 = sha256_file(choice.file);
  throw_on_mismatch(check_integrity(choice.file, embedding.use.sha256), choice.file);
  const std::string tensor = find_vectors(*source, path);
  const TensorInfo& info = *source->find(tensor);
  const std::vector<std::int64_t>& shape = info.shape;
  if (shape.empty() || shape.size() > 2 || info.byte_size() == 0) {
    throw Error::model(
        cat(path, ": \"", tensor, "\" is ", describe(info), ", no vectors [N, width]"));
  }
  std::vector<float> values = read_floats(*source, tensor);
  embedding.vectors =
      at::from_blob(values.data(), {shape.size() == 2 ? shape[0] : 1, shape.back()}, at::kFloat)
          .clone();
  if (!at::isfinite(embedding.vectors).all().item<bool>()) {
    throw Error::model(cat(path, ": its vectors hold NaN or Inf"),
                       "the file is damaged or was trained to divergence");
  }
  embedding.use.vectors = static_cast<std::size_t>(embedding.vectors.size(0));
  if (embedding.use.vectors > most) {
    throw Error::model(
        cat(path, ": ", embedding.use.vectors, " vectors, a prompt's chunk holds ", most));
  }
  const bool named = tensor != kA1111Tensor && tensor != kA1111Safetensors;
  embedding.use.word = named ? tensor : choice.file.stem().string();
  if (!choice.word.empty()) embedding.use.word = choice.word;
  return embedding;
}

}  // namespace ldm
