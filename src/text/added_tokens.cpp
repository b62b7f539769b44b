#include "ldm/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/unicode.h"

namespace ldm {
namespace {

std::size_t skip_spaces_back(std::string_view text, std::size_t at, std::size_t least) {
  while (at > least) {
    std::size_t before = at;
    if (char_class(previous_code_point(text, before)) != CharClass::kSpace) break;
    at = before;
  }
  return at;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t behind = at;
    if (char_class(next_code_point(text, behind)) != CharClass::kSpace) break;
    at = behind;
  }
  return at;
}

bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin > 0 && is_word_char(previous_code_point(text, begin))) ||
         (end < text.size() && is_word_char(next_code_point(text, end)));
}

}  // namespace

void AddedTokenSplitter::add(AddedToken token, std::int64_t id) {
  auto& entries = by_first_byte_[static_cast<unsigned char>(token.content.front())];
  const auto place = std::find_if(entries.begin(), entries.end(), [&](const Entry& other) {
    return other.token.content.size() < token.content.size();
  });
  entries.insert(place, Entry{std::move(token), id});
}

const AddedTokenSplitter::Entry* AddedTokenSplitter::longest_at(std::string_view text,
                                                                std::size_t at) const {
  for (const Entry& entry : by_first_byte_[static_cast<unsigned char>(text[at])]) {
    if (text.substr(at).starts_with(entry.token.content)) return &entry;
  }
  return nullptr;
}

std::vector<AddedTokenSplitter::Part> AddedTokenSplitter::split(std::string_view text) const {
  std::vector<Part> parts;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Entry* entry = longest_at(text, at);
    if (entry == nullptr) {
      ++at;
      continue;
    }
    const AddedToken& token = entry->token;
    std::size_t begin = std::max(at, done);
    std::size_t end = at + token.content.size();
    at = end;
    if (token.single_word && touches_word(text, end - token.content.size(), end)) continue;
    if (token.lstrip) begin = skip_spaces_back(text, begin, done);
    if (token.rstrip) end = skip_spaces(text, end);
    if (done < begin) parts.push_back({done, begin, std::nullopt});
    parts.push_back({begin, end, entry->id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), std::nullopt});
  return parts;
}

AddedVocabulary::AddedVocabulary(const std::vector<AddedToken>& tokens, std::int64_t base_size,
                                 std::int64_t base_limit, const Find& find,
                                 const Normalize& normalize)
    : limit_(base_limit) {
  for (const AddedToken& token : tokens) {
    if (ids_.count(token.content) == 0) {
      const std::int64_t behind_added = tokens_.empty() ? 0 : tokens_.rbegin()->first + 1;
      ids_.emplace(token.content, find(token.content).value_or(std::max(base_size, behind_added)));
    }
    tokens_.insert_or_assign(ids_.at(token.content), token);
  }
  if (!tokens_.empty()) limit_ = std::max(limit_, tokens_.rbegin()->first + 1);
  for (const auto& [id, token] : tokens_) {
    if (!token.normalized) {
      raw_.add(token, id);
      continue;
    }
    AddedToken clean = token;
    clean.content = normalize(token.content);
    if (!clean.content.empty()) normalized_.add(std::move(clean), id);
  }
}

std::int64_t AddedVocabulary::id(const std::string& content) const {
  const auto found = ids_.find(content);
  if (found == ids_.end()) throw Error::internal(cat("token ", content, " was not added"));
  return found->second;
}

const std::string* AddedVocabulary::content(std::int64_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second.content;
}

}  // namespace ldm
