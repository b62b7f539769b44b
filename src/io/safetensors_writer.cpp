#include "ldm/io/safetensors_writer.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/atomic_file.h"
#include "ldm/io/convert.h"
#include "ldm/io/hash.h"
#include "ldm/io/little_endian.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = std::size_t{4} << 20U;
constexpr std::size_t kLengthBytes = 8;

/// A tensor as it will be written.
struct Planned {
  const TensorInfo* info;
  DType dtype;
  std::uint64_t bytes;
};

DType target_type(const TensorInfo& info, const TensorWriteOptions& options) {
  return options.dtype && is_convertible(info.dtype, *options.dtype) ? *options.dtype : info.dtype;
}

/// All tensors, by falling element size and then name, so that each is aligned to its type.
std::vector<Planned> plan_tensors(const TensorSource& source, const TensorWriteOptions& options) {
  std::vector<Planned> plan;
  for (const std::string& name : source.names()) {
    const TensorInfo& info = *source.find(name);
    if (!is_loadable(info.dtype)) {
      throw Error::model_rule("E_ST_DTYPE", cat("tensor \"", name, "\" has the unsupported dtype ",
                                                dtype_name(info.dtype)));
    }
    const DType dtype = target_type(info, options);
    plan.push_back(
        {&info, dtype, info.byte_size() * 8 / dtype_bits(info.dtype) * dtype_bits(dtype) / 8});
  }
  std::stable_sort(plan.begin(), plan.end(), [](const Planned& a, const Planned& b) {
    return dtype_bits(a.dtype) > dtype_bits(b.dtype);
  });
  return plan;
}

/// Fills files in order; a tensor larger than the limit gets one to itself.
std::vector<std::vector<Planned>> cut_into_shards(const std::vector<Planned>& plan,
                                                  std::uint64_t limit) {
  std::vector<std::vector<Planned>> shards(1);
  std::uint64_t filled = 0;
  for (const Planned& tensor : plan) {
    if (limit > 0 && filled > 0 && tensor.bytes > limit - std::min(limit, filled)) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(tensor);
    filled += tensor.bytes;
  }
  return shards;
}

std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// The header with these hashes; all hashes are equally long, so its length does not depend on
/// them.
std::string header_text(const std::vector<Planned>& tensors,
                        const std::map<std::string, std::string>& metadata,
                        const std::vector<std::string>& hashes, const std::string& own_hash) {
  std::map<std::string, std::string> all = metadata;
  all[std::string(kHeaderHashKey)] = own_hash;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    all.emplace(cat(kTensorHashPrefix, tensors[i].info->name), hashes[i]);
  }
  std::string text = "{\"__metadata__\":{";
  for (const auto& [key, value] : all) {
    text += cat(text.back() == '{' ? "" : ",", json_text(key), ":", json_text(value));
  }
  text += "}";
  std::uint64_t offset = 0;
  for (const Planned& tensor : tensors) {
    text += cat(",", json_text(tensor.info->name), ":{\"dtype\":\"", dtype_name(tensor.dtype),
                "\",\"shape\":", nlohmann::json(tensor.info->shape).dump(), ",\"data_offsets\":[",
                offset, ",", offset + tensor.bytes, "]}");
    offset += tensor.bytes;
  }
  text += "}";
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  return text;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Copies tensors through two buffers of one piece.
class Streamer {
 public:
  Streamer(const TensorSource& source, TensorWriteReport& report)
      : source_(source), report_(report), in_(kPieceBytes), out_(2 * kPieceBytes) {}

  /// Appends a tensor. → its hash.
  std::string write(const Planned& tensor, AtomicFile& file) {
    const TensorInfo& info = *tensor.info;
    Sha256 hash;
    std::size_t non_finite = 0;
    std::size_t overflowed = 0;
    for (std::uint64_t at = 0; at < info.byte_size(); at += kPieceBytes) {
      const auto length =
          static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, info.byte_size() - at));
      const std::span<std::byte> in(in_.data(), length);
      source_.read_part(info.name, at, in);
      non_finite += count_non_finite(info.dtype, in);
      std::span<const std::byte> piece = in;
      if (tensor.dtype != info.dtype) {
        const std::span<std::byte> out = room_for(tensor, length);
        overflowed += convert_values(info.dtype, in, tensor.dtype, out);
        piece = out;
      }
      hash.update(piece);
      file.append(piece);
    }
    note(tensor, non_finite, overflowed);
    return hash.hex();
  }

 private:
  std::span<std::byte> room_for(const Planned& tensor, std::size_t length) {
    const std::size_t bytes =
        length * 8 / dtype_bits(tensor.info->dtype) * dtype_bits(tensor.dtype) / 8;
    if (out_.size() < bytes) out_.resize(bytes);
    return std::span<std::byte>(out_.data(), bytes);
  }

  void note(const Planned& tensor, std::size_t non_finite, std::size_t overflowed) {
    const TensorInfo& info = *tensor.info;
    if (overflowed > 0) {
      throw Error::model_rule("E_CONVERT_OVERFLOW",
                              cat("tensor \"", info.name, "\" has ", overflowed,
                                  " values too large for ", dtype_name(tensor.dtype)),
                              "keep its dtype, or convert to bf16")
          .with_context(source_.file_of(info.name).string());
    }
    if (non_finite > 0) {
      report_.non_finite.push_back(cat(info.name, ": ", non_finite, " NaN or Inf values"));
    }
    if (tensor.dtype != info.dtype) {
      report_.converted.push_back(
          cat(info.name, " ", dtype_name(info.dtype), " → ", dtype_name(tensor.dtype)));
    }
    report_.bytes += tensor.bytes;
  }

  const TensorSource& source_;
  TensorWriteReport& report_;
  std::vector<std::byte> in_;
  std::vector<std::byte> out_;
};

void write_shard(const std::vector<Planned>& tensors, const fs::path& path,
                 const TensorWriteOptions& options, Streamer& streamer) {
  // The hashes stand before the data in the file and are known after them: room is left first.
  constexpr std::size_t kHashDigits = 64;
  const std::string zeros(kHashDigits, '0');
  std::vector<std::string> hashes(tensors.size(), zeros);
  const std::string placeholder = header_text(tensors, options.metadata, hashes, zeros);
  std::uint64_t needed = kLengthBytes + placeholder.size();
  for (const Planned& tensor : tensors) needed += tensor.bytes;
  AtomicFile file(path, needed, options.if_exists);
  file.append(little_endian(placeholder.size()));
  file.append(bytes_of(placeholder));
  for (std::size_t i = 0; i < tensors.size(); ++i) hashes[i] = streamer.write(tensors[i], file);
  const std::string own_hash = sha256_hex(header_text(tensors, options.metadata, hashes, zeros));
  file.write_at(kLengthBytes, bytes_of(header_text(tensors, options.metadata, hashes, own_hash)));
  file.commit();
}

std::string shard_name(const std::string& stem, std::size_t index, std::size_t count) {
  const auto five = [](std::size_t number) {
    std::string digits = std::to_string(number);
    constexpr std::size_t kDigits = 5;
    return std::string(kDigits - std::min(kDigits, digits.size()), '0') + digits;
  };
  return cat(stem, "-", five(index + 1), "-of-", five(count), ".safetensors");
}

}  // namespace

TensorWriteReport write_tensors(const TensorSource& source, const fs::path& folder,
                                const std::string& stem, const TensorWriteOptions& options) {
  TensorWriteReport report;
  const auto shards = cut_into_shards(plan_tensors(source, options), options.max_shard_bytes);
  Streamer streamer(source, report);
  nlohmann::json map = nlohmann::json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name =
        shards.size() == 1 ? stem + ".safetensors" : shard_name(stem, i, shards.size());
    write_shard(shards[i], folder / name, options, streamer);
    report.files.push_back(folder / name);
    for (const Planned& tensor : shards[i]) map[tensor.info->name] = name;
  }
  source.check_unchanged();
  if (shards.size() > 1) {
    const nlohmann::json index = {{"metadata", {{"total_size", report.bytes}}},
                                  {"weight_map", map}};
    report.files.push_back(folder / (stem + ".safetensors.index.json"));
    write_file_atomic(report.files.back(), index.dump(2) + "\n", options.if_exists);
  }
  return report;
}

DType parse_dtype(const std::string& word) {
  constexpr std::array<std::pair<std::string_view, DType>, 6> kWords = {{
      {"fp32", DType::F32},
      {"fp16", DType::F16},
      {"bf16", DType::BF16},
      {"float32", DType::F32},
      {"float16", DType::F16},
      {"bfloat16", DType::BF16},
  }};
  std::vector<std::string> known;
  for (const auto& [name, dtype] : kWords) {
    if (name == word) return dtype;
    known.emplace_back(name);
  }
  throw Error::usage(cat("no dtype \"", word, "\""), did_you_mean(word, known));
}

}  // namespace ldm
