#include "ldm/text/framed_tokenizer.h"

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr std::size_t kMostPromptBytes = std::size_t{64} << 10U;

}  // namespace

void check_prompt_text(std::string_view prompt) {
  if (prompt.size() > kMostPromptBytes) {
    throw Error::input(cat("prompt: ", prompt.size(), " bytes, at most ", kMostPromptBytes,
                           " are taken; byte ", kMostPromptBytes, " is the first beyond"),
                       "shorten the prompt: the text encoder sees only its first 77 tokens");
  }
  if (const std::size_t at = find_invalid_utf8(prompt); at != std::string_view::npos) {
    throw Error::input(cat("prompt: byte ", at, " is not valid UTF-8"),
                       "save or type the prompt as UTF-8");
  }
  if (const std::size_t at = prompt.find('\0'); at != std::string_view::npos) {
    throw Error::input(cat("prompt: byte ", at, " is a NUL character"),
                       "remove it: prompts are text");
  }
}

std::vector<PlacedToken> FramedTokenizer::place(std::string_view prompt) const {
  check_prompt_text(prompt);
  std::vector<PlacedToken> tokens;
  for (const AddedTokenSplitter::Part& part : raw_tokens().split(prompt)) {
    if (part.id) {
      tokens.push_back({*part.id, part.begin});
    } else {
      scan_text(prompt.substr(part.begin, part.end - part.begin), part.begin, tokens);
    }
  }
  return tokens;
}

std::vector<std::int64_t> Tokenizer::frame(std::span<const std::int64_t> ids) const {
  std::vector<std::int64_t> framed;
  framed.reserve(max_length());
  if (bos_id() >= 0) framed.push_back(bos_id());
  framed.insert(framed.end(), ids.begin(), ids.end());
  framed.push_back(eos_id());
  framed.resize(max_length(), pad_id());
  return framed;
}

Encoding FramedTokenizer::encode(std::string_view prompt) const {
  const std::vector<PlacedToken> tokens = place(prompt);
  const std::size_t kept = std::min(tokens.size(), capacity());
  Encoding out;
  out.token_count = tokens.size();
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < kept; ++i) ids.push_back(tokens[i].id);
  out.ids = frame(ids);
  if (kept < tokens.size()) out.cut_text = prompt.substr(tokens[kept].begin);
  out.pieces.reserve(out.ids.size());
  for (const std::int64_t id : out.ids) out.pieces.emplace_back(piece(id));
  return out;
}

std::vector<std::int64_t> FramedTokenizer::tokenize(std::string_view text) const {
  std::vector<std::int64_t> ids;
  for (const PlacedToken& token : place(text)) ids.push_back(token.id);
  return ids;
}

}  // namespace ldm
