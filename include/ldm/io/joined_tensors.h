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

/// Several sources seen as one: the tensors of each under its own prefix, and small tensors held in
/// memory beside them.
class JoinedTensors final : public TensorSource {
 public:
  /// Adds every tensor of `source` as PREFIX + name; Error::model when a name is taken.
  void add(std::string_view prefix, std::shared_ptr<const TensorSource> source);
  /// Adds a tensor of these bytes; Error::model when its name is taken.
  void add_value(const std::string& name, DType dtype, std::vector<std::int64_t> shape,
                 std::vector<std::byte> bytes);

  const TensorInfo* find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  void read_part(std::string_view name, std::uint64_t offset,
                 std::span<std::byte> out) const override;
  std::filesystem::path file_of(std::string_view name) const override;
  std::vector<SourceFile> files() const override;
  /// Empty: what sources say about themselves need not hold for the whole.
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void check_unchanged() const override;

 private:
  struct Entry {
    TensorInfo info;
    const TensorSource* source = nullptr;  ///< null: `bytes`
    std::string name;                      ///< there
    std::vector<std::byte> bytes;
  };
  const Entry& entry(std::string_view name) const;
  void insert(const std::string& name, Entry entry);

  std::vector<std::shared_ptr<const TensorSource>> sources_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace ldm
