#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

/// A prompt as a text encoder takes it.
struct Encoding {
  std::vector<std::int64_t> ids;    ///< exactly max_length: BOS … EOS, then padding
  std::vector<std::string> pieces;  ///< the vocabulary's spelling of each id, in the same order
  std::size_t token_count = 0;      ///< of the whole prompt, without BOS and EOS, before truncation
  /// The end of the prompt that truncation cut off, byte for byte as in the prompt; starts with the
  /// first character that is not wholly represented. Empty if nothing was cut.
  std::string cut_text;
};

/// CLIP's byte-level BPE tokenizer. Ids equal those of transformers' CLIPTokenizer (5.23 with
/// tokenizers 0.23, the "fast" one) on any Unicode text; see `unicode.h` for the Unicode versions.
///
/// Special and other added tokens are found in the text as they are there: "<|endoftext|>" is one
/// token, and SD2's padding token "!" makes every "!" id 0. Copies share one vocabulary; all calls
/// are safe from several threads.
class CLIPTokenizer {
 public:
  /// Reads a tokenizer folder in either published form; see `read_clip_files`. Error::model.
  static CLIPTokenizer from_folder(const std::filesystem::path& folder);

  /// The prompt as `max_length` ids. Error::input for more than 64 KiB, invalid UTF-8 or a NUL,
  /// naming the byte.
  Encoding encode(std::string_view prompt) const;

  /// The ids of the text alone, neither truncated nor padded. Errors as `encode`.
  std::vector<std::int64_t> tokenize(std::string_view text) const;

  /// The vocabulary's spelling of an id ("wow</w>"), empty for an unused one.
  std::string_view piece(std::int64_t id) const;

  std::int64_t bos_id() const;
  std::int64_t eos_id() const;
  std::int64_t pad_id() const;
  /// Ids of an encoding, BOS and EOS included: 77 for CLIP.
  std::size_t max_length() const;
  /// One more than the largest id; the text encoder's embedding needs as many rows.
  std::int64_t vocab_size() const;

 private:
  struct Impl;
  explicit CLIPTokenizer(std::shared_ptr<const Impl> impl);

  std::shared_ptr<const Impl> impl_;
};

}  // namespace ldm
