#include "ldm/io/renamed_tensors.h"

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

/// Bytes of a tensor of that shape; nothing when they do not fit 64 bits.
bool shape_bytes(DType dtype, const std::vector<std::int64_t>& shape, std::uint64_t& bytes) {
  std::uint64_t bits = dtype_bits(dtype);
  for (const std::int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(bits, static_cast<std::uint64_t>(dim), &bits)) {
      return false;
    }
  }
  bytes = bits / 8;
  return bits % 8 == 0;
}

const TensorInfo& tensor_of(const TensorSource& source, const std::string& name) {
  if (const TensorInfo* info = source.find(name)) return *info;
  throw Error::model(cat("no tensor \"", name, "\""));
}

}  // namespace

void RenamedTensors::add(const std::string& name, std::vector<std::int64_t> shape,
                         std::vector<TensorPiece> pieces) {
  if (pieces.empty()) throw Error::internal(cat("tensor \"", name, "\" is made of nothing"));
  const DType dtype = tensor_of(*below_, pieces.front().source).dtype;
  std::uint64_t total = 0;
  for (const TensorPiece& piece : pieces) {
    const TensorInfo& info = tensor_of(*below_, piece.source);
    const bool inside = piece.offset <= info.byte_size() &&
                        piece.length <= info.byte_size() - piece.offset && info.dtype == dtype;
    if (!inside) {
      throw Error::model(cat("tensor \"", piece.source, "\" ", describe(info),
                             " does not hold its part of \"", name, "\""));
    }
    total += piece.length;
  }
  View view;
  view.info = {name, dtype, std::move(shape), 0, total};
  std::uint64_t expected = 0;
  if (!shape_bytes(dtype, view.info.shape, expected) || expected != total) {
    throw Error::model(cat("tensor \"", name, "\" ", describe(view.info), " cannot be made of ",
                           total, " bytes of \"", pieces.front().source, "\""));
  }
  view.pieces = std::move(pieces);
  const auto [at, is_new] = views_.emplace(name, std::move(view));
  if (!is_new) {
    throw Error::model(cat("tensors \"", at->second.pieces.front().source,
                           "\" and another are both \"", name, "\""));
  }
}

void RenamedTensors::add_whole(const std::string& name, const std::string& source) {
  const TensorInfo& info = tensor_of(*below_, source);
  add(name, info.shape, {{source, 0, info.byte_size()}});
}

const std::vector<TensorPiece>& RenamedTensors::pieces(std::string_view name) const {
  const auto found = views_.find(name);
  if (found == views_.end()) throw Error::model(cat("no tensor \"", name, "\""));
  return found->second.pieces;
}

const TensorInfo* RenamedTensors::find(std::string_view name) const {
  const auto found = views_.find(name);
  return found == views_.end() ? nullptr : &found->second.info;
}

std::vector<std::string> RenamedTensors::names() const {
  std::vector<std::string> names;
  names.reserve(views_.size());
  for (const auto& [name, view] : views_) names.push_back(name);
  return names;
}

void RenamedTensors::read_part(std::string_view name, std::uint64_t offset,
                               std::span<std::byte> out) const {
  const std::uint64_t size = pieces(name).empty() ? 0 : find(name)->byte_size();
  if (offset > size || out.size() > size - offset) {
    throw Error::internal(cat("reading past the end of tensor \"", name, "\""));
  }
  for (const TensorPiece& piece : pieces(name)) {
    if (out.empty()) break;
    if (offset >= piece.length) {
      offset -= piece.length;
      continue;
    }
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.length - offset, out.size()));
    below_->read_part(piece.source, piece.offset + offset, out.first(count));
    out = out.subspan(count);
    offset = 0;
  }
}

std::filesystem::path RenamedTensors::file_of(std::string_view name) const {
  const auto found = views_.find(name);
  if (found == views_.end()) return {};
  return below_->file_of(found->second.pieces.front().source);
}

}  // namespace ldm
