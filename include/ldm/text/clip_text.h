#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

/// A run of bytes of some text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;  ///< behind the last byte

  bool operator==(const TextRange&) const = default;
};

/// Text as CLIP's merges see it, with the way back to the prompt.
struct NormalizedText {
  std::string text;
  /// For each byte of `text`, where in the original the characters begin that it was made from.
  std::vector<std::size_t> source;
};

/// Normalisation form C, then each run of white space to one blank, then lower case without
/// context. `text` is well-formed UTF-8. Equals the normalizer of transformers' CLIPTokenizer.
NormalizedText normalize_clip(std::string_view text);

/// The words of normalised text: contractions ('s 't 're 've 'm 'll 'd), runs of letters, single
/// numbers, runs of anything else but white space. Equals the pre-tokenizer of transformers'
/// CLIPTokenizer, whose second stage takes a literal "<|endoftext|>" or "<|startoftext|>" (one that
/// is not an added token) apart again.
std::vector<TextRange> split_clip(std::string_view normalized);

}  // namespace ldm
