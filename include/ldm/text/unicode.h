#pragma once

#include <cstddef>
#include <cstdint>
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

/// Text as a tokenizer's model sees it, with the way back to the prompt.
struct NormalizedText {
  std::string text;
  /// For each byte of `text`, where in the original the characters begin that it was made from.
  std::vector<std::size_t> source;
};

/// How the splitting expressions of the public tokenizers see a code point.
enum class CharClass : std::uint8_t {
  kLetter,  ///< \p{L}
  kNumber,  ///< \p{N}
  kSpace,   ///< \s
  kOther,   ///< [^\s\p{L}\p{N}], unassigned code points among it
};

/// The class of a code point in Unicode 16, whatever Unicode version ICU has (15.0 or later).
///
/// The public tokenizers (tokenizers 0.23) carry three Unicode versions: their regular expressions
/// know 16.0, their lower-casing 17.0, and their normalisation 9.0. Code points that ICU reports
/// as younger than 15.0 or unassigned are therefore looked up in tables of our own, found by
/// comparing all 1,112,064 code points; the older ones agree with ICU without exception.
CharClass char_class(char32_t c);

/// The lower case of a code point in Unicode 17, without context (no final sigma). U+0130 alone
/// becomes two code points in the public tokenizers and is left to the caller.
char32_t lower_case(char32_t c);

/// Whether an added token's `single_word` flag takes `c` for part of a word (\w of Unicode 16).
bool is_word_char(char32_t c);

/// Columns of a terminal that `c` takes: 0 for combining marks, 2 for wide characters, else 1.
int columns_of(char32_t c);

/// The text in Unicode 9.0's normalisation form C, with the way back.
///
/// Combining marks and compositions younger than 9.0 count as unassigned, as in the public
/// tokenizers: "a" U+07FD U+0334 stays in this order.
struct ComposedText {
  std::string text;
  /// For each byte of `text`, the first byte in the original of the characters it was made from.
  std::u32string source;
};

/// `text` must be well-formed UTF-8 of less than 2 GiB.
ComposedText compose_nfc(std::string_view text);

/// The same in normalisation form D or, `compatible`, KD.
ComposedText decompose(std::string_view text, bool compatible);

/// The text in lower case with context (final sigma), in ICU's Unicode version.
ComposedText lower_in_context(std::string_view text);

/// Whether `c` was assigned in Unicode 8.0, whose general categories BERT's tokenizer knows.
bool is_in_unicode_8(char32_t c);

/// Whether `c` was assigned in Unicode 9.0.
bool is_in_unicode_9(char32_t c);

/// The code point at byte `at` of well-formed UTF-8; moves `at` behind it.
char32_t next_code_point(std::string_view text, std::size_t& at);

/// The code point that ends at byte `at` > 0 of well-formed UTF-8; moves `at` to its first byte.
char32_t previous_code_point(std::string_view text, std::size_t& at);

/// Appends `c` as UTF-8.
void append_utf8(std::string& out, char32_t c);

}  // namespace ldm
