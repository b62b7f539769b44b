#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ldm/text/added_tokens.h"
#include "ldm/text/bpe.h"

namespace ldm {

/// A tokenizer folder's `tokenizer_config.json`; an empty object where there is none. Error::model.
nlohmann::json read_tokenizer_config(const std::filesystem::path& folder);

/// The config's `model_max_length`; `fallback` where it is absent or stands for "no limit".
/// Error::model unless it is 3 to 4096.
std::size_t read_max_length(const nlohmann::json& config, std::size_t fallback);

/// A true-or-false field of a JSON object at `where`, `fallback` where it is absent or null.
/// Error::model for anything else.
bool read_flag(const nlohmann::json& object, const char* key, bool fallback,
               const std::string& where);

/// A member of a JSON object, or null.
const nlohmann::json& json_member(const nlohmann::json& object, const char* key);

/// Error::model "WHERE: WHAT" with `hint`, by default to copy the folder again.
[[noreturn]] void refuse_tokenizer(const std::string& where, const std::string& what,
                                   const char* hint = nullptr);

/// A JSON object of pieces and ids (0 to 4,194,303). Error::model.
Vocabulary parse_vocabulary(const nlohmann::json& object, const std::string& where);

/// The named and the other added tokens of a tokenizer folder.
class SpecialTokens {
 public:
  /// `defaults` are the class's own tokens by name ("bos_token"). Reads `config`, and beside it
  /// `special_tokens_map.json` and `added_tokens.json` where they are there; `tokenizer` is the
  /// parsed tokenizer.json or null.
  ///
  /// Which file wins is as in transformers 5's from_pretrained: the config's
  /// `added_tokens_decoder`, where present, rules out the other files; otherwise the
  /// special-tokens map overrides the config. Error::model.
  SpecialTokens(const std::filesystem::path& folder,
                const std::map<std::string, std::string>& defaults, const nlohmann::json& config,
                const nlohmann::json* tokenizer);

  /// The content of a named token, or nothing where a file sets it to null or none names it.
  std::optional<std::string> find(const std::string& name) const;
  /// The same; Error::model naming the token where there is none.
  std::string content(const std::string& name) const;
  /// All, in the order in which transformers adds them; a later one replaces an earlier.
  std::vector<AddedToken> in_order() const;

 private:
  void read_named(const nlohmann::json& object, bool object_is_special, const std::string& file);
  void read_decoder(const nlohmann::json& object);
  void read_added_tokens_file(const std::filesystem::path& path);
  void read_tokenizer_json(const nlohmann::json& tokenizer);
  bool has(const std::string& content) const;

  std::map<std::string, std::optional<AddedToken>> named_;
  std::vector<AddedToken> extra_;
  std::map<std::int64_t, AddedToken> by_id_;
};

}  // namespace ldm
