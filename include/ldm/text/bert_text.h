#pragma once

#include <string_view>
#include <vector>

#include "ldm/text/unicode.h"

namespace ldm {

/// Fields of a BertTokenizer's tokenizer_config.json.
struct BertTextOptions {
  bool do_lower_case = true;
  bool strip_accents = true;  ///< where the config has null or nothing: as do_lower_case
  bool tokenize_chinese_chars = true;
};

/// Control characters out, white space to blanks, blanks around CJK ideographs, accents off, lower
/// case without context. `text` is well-formed UTF-8. Equals tokenizers 0.23's BertNormalizer,
/// whose categories are Unicode 8's.
NormalizedText normalize_bert(std::string_view text, const BertTextOptions& options);

/// The words of normalised text: runs without white space, every punctuation mark alone. Equals
/// BertPreTokenizer.
std::vector<TextRange> split_bert(std::string_view normalized);

}  // namespace ldm
