// Any bytes as a weighted prompt: what is wrong is Error::input with a place inside the prompt; all
// else reads at every step as text that stands in the prompt, with finite weights.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/prompt_syntax.h"

static void check_pieces(const std::vector<ldm::PromptPiece>& pieces, std::string_view prompt) {
  for (const ldm::PromptPiece& piece : pieces) {
    if (!std::isfinite(piece.weight) || piece.source.size() != piece.text.size()) std::abort();
    if (ldm::find_invalid_utf8(piece.text) != std::string_view::npos) std::abort();
    for (std::size_t i = 0; i < piece.text.size(); ++i) {
      if (piece.source[i] >= prompt.size() || prompt[piece.source[i]] != piece.text[i]) {
        std::abort();
      }
    }
  }
}

static void check_prompt(std::string_view prompt, ldm::PromptRole role) {
  constexpr int kSteps = 4;
  try {
    const auto parsed = ldm::WeightedPrompt::parse(prompt, role);
    if (parsed.parts().empty()) std::abort();
    for (const auto& part : parsed.parts()) {
      if (!std::isfinite(part.weight)) std::abort();
      for (int step = 1; step <= kSteps; ++step) {
        check_pieces(ldm::pieces_at(part.nodes, step, kSteps), prompt);
      }
      const bool same = !ldm::changes_over_steps(part.nodes);
      if (same && ldm::pieces_at(part.nodes, 1, kSteps).size() !=
                      ldm::pieces_at(part.nodes, 3, kSteps).size()) {
        std::abort();
      }
    }
    for (const ldm::LoraTag& tag : parsed.loras()) {
      if (tag.name.empty() || tag.at >= prompt.size() || prompt[tag.at] != '<') std::abort();
    }
  } catch (const ldm::Error& error) {
    const std::string& lines = error.excerpt();
    const bool points = lines.find("\n") != std::string::npos && lines.ends_with('^');
    const bool unreadable = ldm::find_invalid_utf8(prompt) != std::string_view::npos ||
                            prompt.find('\0') != std::string_view::npos;
    if (error.exit_code() != 3 || points == unreadable) std::abort();
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view prompt(reinterpret_cast<const char*>(data), size);
  check_prompt(prompt, ldm::PromptRole::kPrompt);
  check_prompt(prompt, ldm::PromptRole::kNegative);
  return 0;
}
