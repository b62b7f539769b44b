#include "ldm/text/sentencepiece_text.h"

#include <unicode/uchar.h>

#include <numeric>

namespace ldm {
namespace {

constexpr char32_t kCapitalIWithDot = 0x130;

NormalizedText as_it_is(std::string_view text) {
  NormalizedText out;
  out.text = text;
  out.source.resize(text.size());
  std::iota(out.source.begin(), out.source.end(), std::size_t{0});
  return out;
}

NormalizedText follow(const NormalizedText& before, ComposedText after) {
  NormalizedText out;
  out.source.reserve(after.source.size());
  for (const char32_t at : after.source) out.source.push_back(before.source[at]);
  out.text = std::move(after.text);
  return out;
}

// `` and '' to ".
NormalizedText straighten_quotes(const NormalizedText& text) {
  NormalizedText out;
  for (std::size_t at = 0; at < text.text.size(); ++at) {
    const auto pair = std::string_view(text.text).substr(at, 2);
    const bool is_quote = pair == "``" || pair == "''";
    out.text += is_quote ? '"' : text.text[at];
    out.source.push_back(text.source[at]);
    at += is_quote ? 1 : 0;
  }
  return out;
}

bool is_combining_mark(char32_t c) {
  return (U_MASK(u_charType(static_cast<UChar32>(c))) & U_GC_M_MASK) != 0 && is_in_unicode_9(c);
}

NormalizedText strip_accents(const NormalizedText& text) {
  const NormalizedText apart = follow(text, decompose(text.text, true));
  NormalizedText out;
  for (std::size_t at = 0; at < apart.text.size();) {
    const std::size_t source = apart.source[at];
    const char32_t c = next_code_point(apart.text, at);
    if (is_combining_mark(c)) continue;
    append_utf8(out.text, c);
    out.source.resize(out.text.size(), source);
  }
  return out;
}

NormalizedText lower_each(const NormalizedText& text) {
  NormalizedText out;
  for (std::size_t at = 0; at < text.text.size();) {
    const std::size_t source = text.source[at];
    const char32_t c = next_code_point(text.text, at);
    append_utf8(out.text, c == kCapitalIWithDot ? U'i' : lower_case(c));
    if (c == kCapitalIWithDot) append_utf8(out.text, U'\u0307');
    out.source.resize(out.text.size(), source);
  }
  return out;
}

}  // namespace

NormalizedText prepare_for_sentencepiece(std::string_view text,
                                         const SentencePieceTextOptions& options) {
  NormalizedText out = as_it_is(text);
  if (options.albert) {
    out = straighten_quotes(out);
    if (!options.keep_accents) out = strip_accents(out);
  }
  if (!options.do_lower_case) return out;
  return options.albert ? lower_each(out) : follow(out, lower_in_context(out.text));
}

}  // namespace ldm
