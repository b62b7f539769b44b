#include "ldm/text/clip_text.h"

#include <algorithm>
#include <array>

#include "ldm/text/unicode.h"

namespace ldm {
namespace {

constexpr char32_t kCapitalIWithDot = 0x130;

constexpr std::array<std::string_view, 7> kContractions = {"'s", "'t",  "'re", "'ve",
                                                           "'m", "'ll", "'d"};
constexpr std::array<std::string_view, 2> kMarkers = {"startoftext", "endoftext"};

std::size_t contraction_length(std::string_view rest) {
  const auto* const found =
      std::find_if(kContractions.begin(), kContractions.end(),
                   [rest](std::string_view ending) { return rest.starts_with(ending); });
  return found == kContractions.end() ? 0 : found->size();
}

// The length of the name in a leading "<|name|>", or 0.
std::size_t marker_length(std::string_view rest) {
  if (!rest.starts_with("<|")) return 0;
  for (const std::string_view name : kMarkers) {
    if (rest.substr(2).starts_with(name) && rest.substr(2 + name.size()).starts_with("|>")) {
      return name.size();
    }
  }
  return 0;
}

std::size_t end_of_run(std::string_view text, std::size_t at, CharClass kind) {
  while (at < text.size()) {
    std::size_t next = at;
    if (char_class(next_code_point(text, next)) != kind) break;
    at = next;
  }
  return at;
}

}  // namespace

NormalizedText normalize_clip(std::string_view text) {
  const ComposedText composed = compose_nfc(text);
  NormalizedText out;
  out.text.reserve(composed.text.size());
  out.source.reserve(composed.text.size());
  bool in_space = false;
  for (std::size_t at = 0; at < composed.text.size();) {
    const std::size_t source = composed.source[at];
    const char32_t c = next_code_point(composed.text, at);
    const bool is_space = char_class(c) == CharClass::kSpace;
    if (is_space && in_space) continue;
    in_space = is_space;
    if (is_space) {
      out.text += ' ';
    } else if (c == kCapitalIWithDot) {
      out.text += "i\u0307";
    } else {
      append_utf8(out.text, lower_case(c));
    }
    out.source.resize(out.text.size(), source);
  }
  return out;
}

std::vector<TextRange> split_clip(std::string_view normalized) {
  std::vector<TextRange> words;
  for (std::size_t at = 0; at < normalized.size();) {
    const std::string_view rest = normalized.substr(at);
    if (const std::size_t name = marker_length(rest); name > 0) {
      const std::size_t end = at + name + 4;
      words.insert(words.end(), {{at, at + 2}, {at + 2, end - 2}, {end - 2, end}});
      at = end;
      continue;
    }
    std::size_t end = at + contraction_length(rest);
    if (end == at) {
      const CharClass kind = char_class(next_code_point(normalized, end));
      if (kind == CharClass::kSpace) {
        at = end;
        continue;
      }
      if (kind != CharClass::kNumber) end = end_of_run(normalized, end, kind);
    }
    words.push_back({at, end});
    at = end;
  }
  return words;
}

}  // namespace ldm
