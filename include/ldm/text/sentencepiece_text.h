#pragma once

#include <string_view>

#include "ldm/text/unicode.h"

namespace ldm {

/// What happens to text before a SentencePiece model sees it.
struct SentencePieceTextOptions {
  bool do_lower_case = false;  ///< with context: final sigma, as Python's str.lower
  bool albert = false;         ///< quotes as AlbertTokenizer, and accents unless they are kept
  bool keep_accents = false;
};

/// Well-formed UTF-8 as the model gets it, with the way back.
NormalizedText prepare_for_sentencepiece(std::string_view text,
                                         const SentencePieceTextOptions& options);

}  // namespace ldm
