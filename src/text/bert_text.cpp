#include "ldm/text/bert_text.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ldm {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kCapitalIWithDot = 0x130;

// The third to last stop short of, or begin behind, Unicode's own blocks: so do the public ones.
constexpr auto kIdeographs = std::to_array<std::pair<char32_t, char32_t>>({
    {0x3400, 0x4DBF},
    {0x4E00, 0x9FFF},
    {0xF900, 0xFAFF},
    {0x20000, 0x2A6DF},
    {0x2A700, 0x2B81F},
    {0x2B920, 0x2CEAF},
    {0x2F800, 0x2FA1F},
});

// Code points whose category has changed since Unicode 8.
constexpr auto kMarksOfUnicode8 = std::to_array<char32_t>({0x1734});
constexpr auto kNoMarksOfUnicode8 = std::to_array<char32_t>({0x1885, 0x1886, 0xA9BD, 0x111C9});
constexpr auto kPunctuationOfUnicode8 = std::to_array<char32_t>({0x166D, 0x111C9});

template <typename List>
bool contains(const List& list, char32_t c) {
  return std::find(list.begin(), list.end(), c) != list.end();
}

std::uint32_t category(char32_t c) { return U_MASK(u_charType(static_cast<UChar32>(c))); }

bool is_removed(char32_t c) {
  if (c == U'\t' || c == U'\n' || c == U'\r') return false;
  if (c == 0 || c == kReplacement) return true;
  constexpr std::uint32_t kControl = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK;
  return (category(c) & kControl) != 0 && is_in_unicode_8(c);
}

bool is_ideograph(char32_t c) {
  return std::any_of(kIdeographs.begin(), kIdeographs.end(),
                     [c](const auto& range) { return range.first <= c && c <= range.second; });
}

bool is_accent(char32_t c) {
  if (contains(kMarksOfUnicode8, c)) return true;
  return (category(c) & U_GC_MN_MASK) != 0 && is_in_unicode_8(c) &&
         !contains(kNoMarksOfUnicode8, c);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return u_isgraph(static_cast<UChar32>(c)) && !u_isalnum(static_cast<UChar32>(c));
  if (contains(kPunctuationOfUnicode8, c)) return true;
  return (category(c) & U_GC_P_MASK) != 0 && is_in_unicode_8(c);
}

void append(NormalizedText& out, char32_t c, std::size_t source) {
  append_utf8(out.text, c);
  out.source.resize(out.text.size(), source);
}

NormalizedText clean(std::string_view text, bool space_ideographs) {
  NormalizedText out;
  out.text.reserve(text.size());
  out.source.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t source = at;
    const char32_t c = next_code_point(text, at);
    if (is_removed(c)) continue;
    const bool alone = space_ideographs && is_ideograph(c);
    if (alone) append(out, U' ', source);
    append(out, char_class(c) == CharClass::kSpace ? U' ' : c, source);
    if (alone) append(out, U' ', source);
  }
  return out;
}

NormalizedText strip_accents(const NormalizedText& text) {
  const ComposedText apart = decompose(text.text, false);
  NormalizedText out;
  out.text.reserve(apart.text.size());
  out.source.reserve(apart.text.size());
  for (std::size_t at = 0; at < apart.text.size();) {
    const std::size_t source = text.source[apart.source[at]];
    const char32_t c = next_code_point(apart.text, at);
    if (!is_accent(c)) append(out, c, source);
  }
  return out;
}

NormalizedText to_lower(const NormalizedText& text) {
  NormalizedText out;
  out.text.reserve(text.text.size());
  out.source.reserve(text.text.size());
  for (std::size_t at = 0; at < text.text.size();) {
    const std::size_t source = text.source[at];
    const char32_t c = next_code_point(text.text, at);
    append(out, c == kCapitalIWithDot ? U'i' : lower_case(c), source);
    if (c == kCapitalIWithDot) append(out, U'\u0307', source);
  }
  return out;
}

}  // namespace

NormalizedText normalize_bert(std::string_view text, const BertTextOptions& options) {
  NormalizedText out = clean(text, options.tokenize_chinese_chars);
  if (options.strip_accents) out = strip_accents(out);
  if (options.do_lower_case) out = to_lower(out);
  return out;
}

std::vector<TextRange> split_bert(std::string_view normalized) {
  std::vector<TextRange> words;
  bool in_word = false;
  for (std::size_t at = 0; at < normalized.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(normalized, at);
    if (char_class(c) == CharClass::kSpace) {
      in_word = false;
    } else if (is_punctuation(c)) {
      words.push_back({begin, at});
      in_word = false;
    } else if (in_word) {
      words.back().end = at;
    } else {
      words.push_back({begin, at});
      in_word = true;
    }
  }
  return words;
}

}  // namespace ldm
