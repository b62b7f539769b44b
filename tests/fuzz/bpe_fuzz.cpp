// Any bytes as a prompt for the CLIP tokenizer of the default model: bad ones are Error::input with
// the byte, all others become ids of the vocabulary. The same bytes as a merges.txt.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/bpe.h"
#include "ldm/text/clip_tokenizer.h"

static const ldm::CLIPTokenizer& tokenizer() {
  static const ldm::CLIPTokenizer loaded =
      ldm::CLIPTokenizer::from_folder(LDM_SOURCE_DIR "/weights/default/tokenizer");
  return loaded;
}

static void check_prompt(std::string_view prompt) {
  const bool is_text = ldm::find_invalid_utf8(prompt) == std::string_view::npos &&
                       prompt.find('\0') == std::string_view::npos;
  try {
    const ldm::Encoding encoding = tokenizer().encode(prompt);
    if (!is_text || encoding.ids.size() != tokenizer().max_length()) std::abort();
    for (const std::int64_t id : encoding.ids) {
      if (id < 0 || id >= tokenizer().vocab_size() || tokenizer().piece(id).empty()) std::abort();
    }
    if (!prompt.ends_with(encoding.cut_text)) std::abort();
    const bool is_cut = encoding.token_count > tokenizer().capacity();
    if (is_cut == encoding.cut_text.empty()) std::abort();
    if (tokenizer().tokenize(prompt).size() != encoding.token_count) std::abort();
  } catch (const ldm::Error& error) {
    if (is_text || error.exit_code() != 3) std::abort();
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_prompt(text);
  try {
    for (const ldm::MergeRule& rule : ldm::parse_merges(text, "f")) {
      if (rule.left.empty() || rule.right.empty() || rule.place == 0) std::abort();
    }
  } catch (const ldm::Error& error) {
    if (error.exit_code() != 4) std::abort();
  }
  return 0;
}
