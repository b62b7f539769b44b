#include "ldm/text/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

struct ClassRange {
  char32_t first;
  char32_t last;
  CharClass value;
};

constexpr CharClass kL = CharClass::kLetter;
constexpr CharClass kN = CharClass::kNumber;

// Letters and numbers that Unicode 15.1 and 16.0 added.
constexpr auto kYoungClasses = std::to_array<ClassRange>({
    {0x1C89, 0x1C8A, kL},   {0xA7CB, 0xA7CD, kL},   {0xA7DA, 0xA7DC, kL},   {0x105C0, 0x105F3, kL},
    {0x10D40, 0x10D49, kN}, {0x10D4A, 0x10D65, kL}, {0x10D6F, 0x10D85, kL}, {0x10EC2, 0x10EC4, kL},
    {0x11380, 0x11389, kL}, {0x1138B, 0x1138B, kL}, {0x1138E, 0x1138E, kL}, {0x11390, 0x113B5, kL},
    {0x113B7, 0x113B7, kL}, {0x113D1, 0x113D1, kL}, {0x113D3, 0x113D3, kL}, {0x116D0, 0x116E3, kN},
    {0x11BC0, 0x11BE0, kL}, {0x11BF0, 0x11BF9, kN}, {0x13460, 0x143FA, kL}, {0x16100, 0x1611D, kL},
    {0x16130, 0x16139, kN}, {0x16D40, 0x16D6C, kL}, {0x16D70, 0x16D79, kN}, {0x18CFF, 0x18CFF, kL},
    {0x1CCF0, 0x1CCF9, kN}, {0x1E5D0, 0x1E5ED, kL}, {0x1E5F0, 0x1E5F0, kL}, {0x1E5F1, 0x1E5FA, kN},
    {0x2EBF0, 0x2EE5D, kL},
});

struct MarkRange {
  char32_t first;
  char32_t last;
};

// Combining marks that Unicode 16.0 added.
constexpr auto kYoungMarks = std::to_array<MarkRange>({
    {0x897, 0x897},
    {0x10D69, 0x10D6D},
    {0x10EFC, 0x10EFC},
    {0x113B8, 0x113C0},
    {0x113C2, 0x113C2},
    {0x113C5, 0x113C5},
    {0x113C7, 0x113CA},
    {0x113CC, 0x113D0},
    {0x113D2, 0x113D2},
    {0x113E1, 0x113E2},
    {0x11F5A, 0x11F5A},
    {0x1611E, 0x1612F},
    {0x1E5EE, 0x1E5EF},
});

struct CaseRange {
  char32_t first;
  char32_t last;
  std::int32_t to_lower;  // added to the code point
};

// Capitals that Unicode 16.0 and 17.0 added.
constexpr auto kYoungCapitals = std::to_array<CaseRange>({
    {0x1C89, 0x1C89, 1},
    {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
    {0xA7CC, 0xA7CC, 1},
    {0xA7CE, 0xA7CE, 1},
    {0xA7D2, 0xA7D2, 1},
    {0xA7D4, 0xA7D4, 1},
    {0xA7DA, 0xA7DA, 1},
    {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
    {0x10D50, 0x10D65, 0x20},
    {0x16EA0, 0x16EB8, 0x1B},
});

template <typename Range, std::size_t kSize>
const Range* find_range(const std::array<Range, kSize>& ranges, char32_t c) {
  const auto at = std::find_if(ranges.begin(), ranges.end(), [c](const Range& range) {
    return range.first <= c && c <= range.last;
  });
  return at == ranges.end() ? nullptr : &*at;
}

bool younger_than_unicode_15(char32_t c) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] == 0 || age[0] > 15 || (age[0] == 15 && age[1] > 0);
}

// The major Unicode version that assigned a code point, 0 for none.
int age_of(char32_t c) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0];
}

void check(UErrorCode status, const char* what) {
  if (U_FAILURE(status)) {
    throw Error::internal(cat("ICU: ", what, ": ", u_errorName(status)));
  }
}

const icu::UnicodeSet& unicode_9() {
  static const icu::UnicodeSet* const kAssigned = [] {
    UErrorCode status = U_ZERO_ERROR;
    auto* set = new icu::UnicodeSet(UNICODE_STRING_SIMPLE("[:age=9.0:]"), status);
    check(status, "set of Unicode 9.0");
    set->freeze();
    return set;
  }();
  return *kAssigned;
}

using NormalizerFactory = const icu::Normalizer2* (*)(UErrorCode&);

// `make` in Unicode 9.0.
icu::FilteredNormalizer2 of_unicode_9(NormalizerFactory make) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = make(status);
  check(status, "normalisation data");
  return icu::FilteredNormalizer2(*form, unicode_9());
}

// For each byte of `edited`'s new text, where its original begins.
std::u32string trace(const icu::Edits& edits) {
  UErrorCode status = U_ZERO_ERROR;
  std::u32string source;
  for (auto span = edits.getFineIterator(); span.next(status);) {
    const auto from = static_cast<char32_t>(span.sourceIndex());
    for (std::int32_t i = 0; i < span.newLength(); ++i) {
      source += span.hasChange() ? from : from + static_cast<char32_t>(i);
    }
  }
  check(status, "edits");
  return source;
}

ComposedText normalize(const icu::Normalizer2& form, std::string_view text) {
  ComposedText out;
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) {
    out.text = text;
    out.source.resize(text.size());
    std::iota(out.source.begin(), out.source.end(), U'\0');
    return out;
  }
  UErrorCode status = U_ZERO_ERROR;
  icu::StringByteSink<std::string> sink(&out.text);
  icu::Edits edits;
  form.normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink,
                     &edits, status);
  check(status, "normalisation");
  out.source = trace(edits);
  return out;
}

}  // namespace

CharClass char_class(char32_t c) {
  if (c >= 0x80 && younger_than_unicode_15(c)) {
    const ClassRange* range = find_range(kYoungClasses, c);
    return range == nullptr ? CharClass::kOther : range->value;
  }
  const auto category = U_MASK(u_charType(static_cast<UChar32>(c)));
  if ((category & U_GC_L_MASK) != 0) return CharClass::kLetter;
  if ((category & U_GC_N_MASK) != 0) return CharClass::kNumber;
  if (u_isUWhiteSpace(static_cast<UChar32>(c))) return CharClass::kSpace;
  return CharClass::kOther;
}

char32_t lower_case(char32_t c) {
  if (c >= 0x80 && younger_than_unicode_15(c)) {
    const CaseRange* range = find_range(kYoungCapitals, c);
    if (range == nullptr) return c;
    return static_cast<char32_t>(static_cast<std::int32_t>(c) + range->to_lower);
  }
  return static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
}

bool is_word_char(char32_t c) {
  if (c >= 0x80 && younger_than_unicode_15(c)) {
    return char_class(c) != CharClass::kOther || find_range(kYoungMarks, c) != nullptr;
  }
  const auto point = static_cast<UChar32>(c);
  constexpr auto kWord = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_isUAlphabetic(point) || (U_MASK(u_charType(point)) & kWord) != 0 ||
         u_hasBinaryProperty(point, UCHAR_JOIN_CONTROL);
}

int columns_of(char32_t c) {
  const auto point = static_cast<UChar32>(c);
  if ((U_MASK(u_charType(point)) & (U_GC_MN_MASK | U_GC_ME_MASK | U_GC_CF_MASK)) != 0) return 0;
  const int width = u_getIntPropertyValue(point, UCHAR_EAST_ASIAN_WIDTH);
  return width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
}

ComposedText compose_nfc(std::string_view text) {
  static const icu::FilteredNormalizer2 kNfc = of_unicode_9(&icu::Normalizer2::getNFCInstance);
  return normalize(kNfc, text);
}

ComposedText decompose(std::string_view text, bool compatible) {
  static const icu::FilteredNormalizer2 kNfd = of_unicode_9(&icu::Normalizer2::getNFDInstance);
  static const icu::FilteredNormalizer2 kNfkd = of_unicode_9(&icu::Normalizer2::getNFKDInstance);
  return normalize(compatible ? kNfkd : kNfd, text);
}

ComposedText lower_in_context(std::string_view text) {
  ComposedText out;
  UErrorCode status = U_ZERO_ERROR;
  icu::StringByteSink<std::string> sink(&out.text);
  icu::Edits edits;
  icu::CaseMap::utf8ToLower("", 0,
                            icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())),
                            sink, &edits, status);
  check(status, "lower case");
  out.source = trace(edits);
  return out;
}

bool is_in_unicode_8(char32_t c) { return age_of(c) >= 1 && age_of(c) <= 8; }
bool is_in_unicode_9(char32_t c) { return age_of(c) >= 1 && age_of(c) <= 9; }

char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const auto tail = [&](std::size_t i) { return static_cast<char32_t>(byte(i) & 0x3FU); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return at += 1, lead;
  char32_t c = 0;
  if (lead < 0xE0) {
    c = (lead & 0x1FU) << 6U | tail(1);
    at += 2;
  } else if (lead < 0xF0) {
    c = (lead & 0x0FU) << 12U | tail(1) << 6U | tail(2);
    at += 3;
  } else {
    c = (lead & 0x07U) << 18U | tail(1) << 12U | tail(2) << 6U | tail(3);
    at += 4;
  }
  return c;
}

char32_t previous_code_point(std::string_view text, std::size_t& at) {
  do {
    --at;
  } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U);
  std::size_t end = at;
  return next_code_point(text, end);
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0U | c >> 6U);
    put(0x80U | (c & 0x3FU));
  } else if (c < 0x10000) {
    put(0xE0U | c >> 12U);
    put(0x80U | (c >> 6U & 0x3FU));
    put(0x80U | (c & 0x3FU));
  } else {
    put(0xF0U | c >> 18U);
    put(0x80U | (c >> 12U & 0x3FU));
    put(0x80U | (c >> 6U & 0x3FU));
    put(0x80U | (c & 0x3FU));
  }
}

}  // namespace ldm
