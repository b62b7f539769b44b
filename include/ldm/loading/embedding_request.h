#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace ldm {

/// A textual inversion to read.
struct EmbeddingChoice {
  std::filesystem::path file;
  std::string word = {};  ///< that stands for it in prompts; empty: the file's own
};

/// A textual inversion that a model was opened with.
struct EmbeddingUse {
  std::string name;  ///< of the file, never a path
  std::string word;
  std::string sha256;
  std::size_t vectors = 0;
};

}  // namespace ldm
