#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace ldm {

/// What a JSON text may at most be; vocabularies need `max_bytes` of 32 MiB.
struct JsonLimits {
  std::size_t max_bytes = std::size_t{1} << 20U;
  int max_depth = 64;
};

/// Vocabulary and tokenizer files.
inline constexpr JsonLimits kVocabularyJson{std::size_t{32} << 20U, 64};

/// Why a text was refused.
struct JsonFault {
  enum class Kind { kSize, kUtf8, kSyntax, kDepth, kDuplicate, kNumber };
  Kind kind = Kind::kSyntax;
  std::size_t offset = 0;  ///< byte in the text
  std::string text;        ///< in words, without the offset
};

/// What every JSON text must satisfy before its grammar is looked at: size, well-formed UTF-8, no
/// byte-order mark, no NUL.
std::optional<JsonFault> check_json_text(std::string_view text, const JsonLimits& limits);

/// Strict RFC 8259: well-formed UTF-8, no byte-order mark, no comments, no duplicate keys, no
/// number beyond double or 64 bits, nesting up to `max_depth`, one value and nothing after it.
/// Fills `out` or says why not.
std::optional<JsonFault> try_parse_json(std::string_view text, const JsonLimits& limits,
                                        nlohmann::json& out);

/// The same, refusing with Error::model "WHAT: invalid JSON at byte N: …".
nlohmann::json parse_json(std::string_view text, const JsonLimits& limits, const std::string& what);

/// Reads and parses a file; Error::model names it.
nlohmann::json read_json_file(const std::filesystem::path& path, const JsonLimits& limits = {});

}  // namespace ldm
