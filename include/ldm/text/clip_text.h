#pragma once

#include <string_view>
#include <vector>

#include "ldm/text/unicode.h"

namespace ldm {

/// Normalisation form C, then each run of white space to one blank, then lower case without
/// context. `text` is well-formed UTF-8. Equals the normalizer of transformers' CLIPTokenizer.
NormalizedText normalize_clip(std::string_view text);

/// The words of normalised text: contractions ('s 't 're 've 'm 'll 'd), runs of letters, single
/// numbers, runs of anything else but white space. Equals the pre-tokenizer of transformers'
/// CLIPTokenizer, whose second stage takes a literal "<|endoftext|>" or "<|startoftext|>" (one that
/// is not an added token) apart again.
std::vector<TextRange> split_clip(std::string_view normalized);

}  // namespace ldm
