#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ldm/io/dtype.h"
#include "ldm/io/file.h"
#include "ldm/io/tensor_source.h"

namespace ldm {

/// The metadata key that holds a tensor's SHA-256 (64 lower-case hex digits, of its bytes in this
/// file): "sha256:" and the tensor's name. Files of this program carry one for every tensor.
inline constexpr std::string_view kTensorHashPrefix = "sha256:";
/// The metadata key that holds the SHA-256 of the header's own text, taken with 64 zeros in the
/// place of these digits. Together with the tensors' it covers every byte of the file.
inline constexpr std::string_view kHeaderHashKey = "sha256";

struct TensorWriteOptions {
  std::optional<DType> dtype;         ///< F16, BF16 or F32 for floating tensors; none: as they are
  std::uint64_t max_shard_bytes = 0;  ///< tensor bytes of one file; 0: one file whatever its size
  std::map<std::string, std::string> metadata;  ///< beside the hashes
  IfExists if_exists = IfExists::kRefuse;
};

struct TensorWriteReport {
  std::vector<std::filesystem::path> files;  ///< written, the index of shards last
  std::uint64_t bytes = 0;                   ///< of tensors
  std::vector<std::string> converted;        ///< "name F32 → F16", tensors of another type now
  std::vector<std::string> non_finite;       ///< "name: 3 NaN or Inf values", copied as they were
};

/// Writes all tensors of `source` to FOLDER/STEM.safetensors, or, where they exceed
/// max_shard_bytes, to STEM-00001-of-0000N.safetensors with STEM.safetensors.index.json beside
/// them, as diffusers names them. Streams in pieces of 4 MiB: memory does not grow with the
/// tensors. Each file appears whole or not at all, the index last. The bytes depend on the tensors
/// and options only. Error::model E_CONVERT_OVERFLOW naming the tensor when finite values do not
/// fit `dtype`; errors of reading; Error::output.
TensorWriteReport write_tensors(const TensorSource& source, const std::filesystem::path& folder,
                                const std::string& stem, const TensorWriteOptions& options);

/// The dtype of a command line's word: fp32, fp16, bf16 (also float32, float16, bfloat16);
/// Error::usage for another.
DType parse_dtype(const std::string& word);

}  // namespace ldm
