#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace ldm::test {

using Ids = std::vector<std::int64_t>;

inline const nlohmann::json& tokenizer_golden() {
  static const nlohmann::json kGolden =
      nlohmann::json::parse(slurp(test_file("golden/text/tokenizers.json")));
  return kGolden;
}

inline const nlohmann::json& clip_golden() {
  static const nlohmann::json kGolden =
      nlohmann::json::parse(slurp(test_file("golden/text/clip_ids.json")));
  return kGolden;
}

/// The texts that tokenizers.json has ids for, in its order.
inline std::vector<std::string> golden_texts() {
  std::vector<std::string> texts;
  for (const auto& one : clip_golden()["cases"]) texts.push_back(one["text"]);
  for (const auto& text : tokenizer_golden()["extra"]) texts.push_back(text);
  return texts;
}

/// The long texts of its encodings, in its order.
inline std::vector<std::string> long_golden_texts() {
  std::vector<std::string> texts;
  for (const auto& one : clip_golden()["encodings"]) {
    if (one["folder"] == "sd1") texts.push_back(one["text"]);
  }
  return texts;
}

}  // namespace ldm::test
