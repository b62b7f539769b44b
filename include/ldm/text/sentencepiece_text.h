#pragma once

#include <string_view>

#include "ldm/text/unicode.h"

namespace ldm {

/// What happens to text before a SentencePiece model sees it.
struct SentencePieceTextOptions {
  bool do_lower_case = false;
  /// As AlbertTokenizer: quotes straightened, accents off, lower case of each character by itself.
  /// Otherwise lower case is that of the whole text (final sigma), as in Python's str.lower.
  bool albert = false;
  bool keep_accents = false;  ///< Albert's
};

/// Well-formed UTF-8 as the model gets it, with the way back.
NormalizedText prepare_for_sentencepiece(std::string_view text,
                                         const SentencePieceTextOptions& options);

}  // namespace ldm
