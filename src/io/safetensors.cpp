#include "ldm/io/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/little_endian.h"
#include "ldm/io/sniff.h"

namespace ldm {
namespace {

constexpr std::size_t kLengthBytes = 8;

SafetensorsHeader read_header(const InputFile& file, const SafetensorsLimits& limits) {
  std::vector<std::byte> prefix(
      static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kSniffBytes)));
  file.read_at(0, prefix);
  if (file.size() >= kLengthBytes) {
    const std::uint64_t length = from_little_endian(std::span(prefix).first(kLengthBytes));
    if (length <= limits.max_header_bytes && length <= file.size() - kLengthBytes) {
      prefix.resize(kLengthBytes + static_cast<std::size_t>(length));
      file.read_at(0, prefix);
    }
  }
  return parse_safetensors_header(prefix, file.size(), file.path().string(), limits);
}

// A name or text as JSON.
std::string json_string(const std::string& text) {
  if (find_invalid_utf8(text) != std::string_view::npos) {
    throw Error::internal("safetensors text is not UTF-8: " + text);
  }
  return nlohmann::json(text).dump();
}

void check_tensor(const TensorData& tensor, std::set<std::string>& names) {
  if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
    throw Error::internal("tensor name \"" + tensor.name + "\" is reserved or used twice");
  }
  std::uint64_t bits = dtype_bits(tensor.dtype);
  bool bad = false;
  for (const std::int64_t dimension : tensor.shape) {
    bad |= dimension < 0;
    bad |= __builtin_mul_overflow(bits, static_cast<std::uint64_t>(dimension), &bits);
  }
  if (bad || bits % 8 != 0 || bits / 8 != tensor.bytes.size()) {
    throw Error::internal(cat("tensor \"", tensor.name, "\" has ", tensor.bytes.size(),
                              " bytes, its shape and dtype need ", bits / 8));
  }
}

std::string header_text(const std::vector<const TensorData*>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      text += cat(text.back() == '{' ? "" : ",", json_string(key), ":", json_string(value));
    }
    text += "}";
  }
  std::uint64_t offset = 0;
  for (const TensorData* tensor : tensors) {
    const std::uint64_t end = offset + tensor->bytes.size();
    text += cat(text.size() > 1 ? "," : "", json_string(tensor->name), ":{\"dtype\":\"",
                dtype_name(tensor->dtype), "\",\"shape\":", nlohmann::json(tensor->shape).dump(),
                ",\"data_offsets\":[", offset, ",", end, "]}");
    offset = end;
  }
  text += "}";
  constexpr std::size_t kAlignment = 8;
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  return text;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path, const SafetensorsLimits& limits)
    : file_(path), header_(read_header(file_, limits)) {
  by_name_.reserve(header_.tensors.size());
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
    by_name_.emplace(header_.tensors[i].name, i);
  }
  file_.advise_sequential();
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &header_.tensors[found->second];
}

void SafetensorsFile::read(const TensorInfo& info, std::span<std::byte> out) const {
  if (out.size() != info.byte_size()) {
    throw Error::internal(
        cat("buffer of ", out.size(), " bytes for a tensor of ", info.byte_size()));
  }
  read_part(info, 0, out);
}

void SafetensorsFile::read_part(const TensorInfo& info, std::uint64_t offset,
                                std::span<std::byte> out) const {
  if (!is_loadable(info.dtype)) {
    throw Error::model_rule(
        "E_ST_DTYPE",
        cat("tensor \"", info.name, "\" has the unsupported dtype ", dtype_name(info.dtype)),
        "convert the file to F16, BF16 or F32")
        .with_context(path().string());
  }
  if (offset > info.byte_size() || out.size() > info.byte_size() - offset) {
    throw Error::internal(cat("reading past the end of tensor \"", info.name, "\""));
  }
  file_.read_at(header_.data_offset + info.begin + offset, out);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorData> tensors,
                       const std::map<std::string, std::string>& metadata, IfExists if_exists) {
  std::set<std::string> names;
  std::vector<const TensorData*> order;
  for (const TensorData& tensor : tensors) {
    check_tensor(tensor, names);
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const TensorData* a, const TensorData* b) {
    const std::size_t a_bits = dtype_bits(a->dtype);
    const std::size_t b_bits = dtype_bits(b->dtype);
    return a_bits != b_bits ? a_bits > b_bits : a->name < b->name;
  });

  const std::string text = header_text(order, metadata);
  const std::array<std::byte, kLengthBytes> length = little_endian(text.size());
  std::vector<std::span<const std::byte>> parts;
  parts.reserve(order.size() + 2);
  parts.emplace_back(length);
  parts.push_back(std::as_bytes(std::span(text.data(), text.size())));
  for (const TensorData* tensor : order) parts.push_back(tensor->bytes);
  write_parts_atomic(path, parts, if_exists);
}

}  // namespace ldm
