#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/tensor_source.h"

namespace ldm {

/// A run of bytes of one tensor of the source below.
struct TensorPiece {
  std::string source;        ///< its name there
  std::uint64_t offset = 0;  ///< bytes from the tensor's start
  std::uint64_t length = 0;  ///< bytes
};

/// Another source's tensors under other names and shapes: each is one or more runs of bytes of
/// tensors below, one after the other, so that splitting a fused projection, joining one, or
/// dropping dimensions of size 1 copies nothing and costs no memory.
class RenamedTensors final : public TensorSource {
 public:
  explicit RenamedTensors(std::shared_ptr<const TensorSource> below) : below_(std::move(below)) {}

  /// Adds tensor `name` of that dtype and shape made of `pieces`. Error::model when the name is
  /// taken, a piece lies outside its tensor or is of another dtype, or the pieces do not add up to
  /// the shape.
  void add(const std::string& name, std::vector<std::int64_t> shape,
           std::vector<TensorPiece> pieces);
  /// Adds the whole tensor `source` under another name, in its own shape.
  void add_whole(const std::string& name, const std::string& source);

  /// What `name` is made of; Error::model when there is no such tensor.
  const std::vector<TensorPiece>& pieces(std::string_view name) const;

  const TensorInfo* find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  void read_part(std::string_view name, std::uint64_t offset,
                 std::span<std::byte> out) const override;
  std::filesystem::path file_of(std::string_view name) const override;
  std::vector<SourceFile> files() const override { return below_->files(); }
  const std::map<std::string, std::string>& metadata() const override { return below_->metadata(); }
  void check_unchanged() const override { below_->check_unchanged(); }

 private:
  struct View {
    TensorInfo info;
    std::vector<TensorPiece> pieces;
  };
  std::shared_ptr<const TensorSource> below_;
  std::map<std::string, View, std::less<>> views_;
};

}  // namespace ldm
