#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace ldm {

/// A LoRA to merge into a model: W + scale · alpha / rank · up · down.
struct LoraChoice {
  std::filesystem::path file;  ///< or a folder that holds pytorch_lora_weights.safetensors
  double scale = 1.0;
  bool from_prompt = false;  ///< named by a prompt's <lora:…>

  bool operator==(const LoraChoice&) const = default;
};

struct LoraRequest {
  std::vector<LoraChoice> files = {};  ///< merged one after the other
  bool partial = false;                ///< tensors that match nothing are left out with a warning

  bool operator==(const LoraRequest&) const = default;
};

/// A LoRA that a model was opened with.
struct LoraUse {
  std::string name;  ///< of the file, never a path
  std::string sha256;
  double scale = 1.0;
  std::size_t layers = 0;     ///< whose weights it changes
  std::size_t tensors = 0;    ///< of the file
  std::size_t unmatched = 0;  ///< of them left out
  bool from_prompt = false;
  std::string data_sha256 = {};  ///< of the file without its header
};

}  // namespace ldm
