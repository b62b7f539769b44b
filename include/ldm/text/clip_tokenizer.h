#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/text/framed_tokenizer.h"

namespace ldm {

/// CLIP's byte-level BPE tokenizer. Ids equal those of transformers' CLIPTokenizer (5.23 with
/// tokenizers 0.23, the "fast" one) on any Unicode text; see `unicode.h` for the Unicode versions.
///
/// Special and other added tokens are found in the text as they are there: "<|endoftext|>" is one
/// token, and SD2's padding token "!" makes every "!" id 0. Copies share one vocabulary; all calls
/// are safe from several threads.
class CLIPTokenizer final : public FramedTokenizer {
 public:
  /// Reads a tokenizer folder in either published form; see `read_clip_files`. Error::model.
  static CLIPTokenizer from_folder(const std::filesystem::path& folder);

  std::string_view piece(std::int64_t id) const override;
  std::int64_t vocab_size() const override;

 private:
  struct Impl;
  explicit CLIPTokenizer(std::shared_ptr<const Impl> impl);
  const AddedTokenSplitter& raw_tokens() const override;
  void scan_text(std::string_view text, std::size_t offset,
                 std::vector<PlacedToken>& tokens) const override;

  std::shared_ptr<const Impl> impl_;
};

}  // namespace ldm
