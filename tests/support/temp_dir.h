#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace ldm::test {

/// A fresh folder, removed with all it holds when the object goes.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  /// Writes a file in the folder and returns its path.
  std::filesystem::path write(std::string_view name, std::string_view bytes) const;

 private:
  std::filesystem::path path_;
};

/// A file below tests/ in the source tree.
std::filesystem::path test_file(std::string_view relative);

/// A whole file as bytes; throws std::runtime_error when it cannot be read.
std::string slurp(const std::filesystem::path& path);

}  // namespace ldm::test
