#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

class Error;

/// A `<lora:NAME:WEIGHT>` in a prompt.
struct LoraTag {
  std::string name;
  double weight = 1.0;
  std::size_t at = 0;  ///< byte of the prompt

  bool operator==(const LoraTag&) const = default;
};

/// A stretch of a prompt as it reads at one step: text of one weight, or a BREAK.
struct PromptPiece {
  std::string text;
  double weight = 1.0;
  bool is_break = false;
  std::vector<std::size_t> source;  ///< for each byte of `text` that of the prompt
};

/// A part of a prompt's tree: brackets, and the text between them.
struct PromptNode {
  enum class Kind { kText, kBreak, kWeight, kEdit, kAlternate };
  Kind kind = Kind::kText;
  std::string text;                 ///< kText
  std::vector<std::size_t> source;  ///< kText: for each byte of `text` that of the prompt
  double number = 1.0;              ///< kWeight: the factor; kEdit: the last step before the change
  bool is_fraction = false;         ///< kEdit: `number` counts in parts of all steps
  /// kWeight: one; kEdit: before and after; kAlternate: one after the other.
  std::vector<std::vector<PromptNode>> branches;
};

enum class PromptRole { kPrompt, kNegative };

/// A prompt in AUTOMATIC1111's syntax: `(a)` `(a:1.3)` `[a]` weigh, `[a:b:0.5]` `[a:0.5]`
/// `[a::0.5]` change the words after a part of the steps or after a step's number, `[a|b]` takes
/// turns, BREAK begins a new chunk, `a AND b :0.8` are prompts of their own, `<lora:NAME:0.7>`
/// names a LoRA; `\` before any of `()[]:|<\` makes it text.
class WeightedPrompt {
 public:
  /// Error::input pointing at the character where the syntax is wrong. A negative prompt knows
  /// neither AND nor LoRAs.
  static WeightedPrompt parse(std::string_view text, PromptRole role);

  /// One prompt of those that AND joins.
  struct Part {
    std::vector<PromptNode> nodes;
    double weight = 1.0;
    std::size_t begin = 0;  ///< byte of the prompt
  };
  const std::vector<Part>& parts() const { return parts_; }
  const std::vector<LoraTag>& loras() const { return loras_; }

 private:
  std::vector<Part> parts_;
  std::vector<LoraTag> loras_;
};

/// Whether the words of these nodes depend on the step.
bool changes_over_steps(const std::vector<PromptNode>& nodes);

/// The nodes as they read at `step` (1 … `steps`), neighbours of one weight joined.
std::vector<PromptPiece> pieces_at(const std::vector<PromptNode>& nodes, int step, int steps);

/// Error::input "NAME: character N: WHAT" that shows the place of byte `at` under a caret.
Error prompt_fault(std::string_view text, std::string_view name, std::size_t at,
                   const std::string& what, std::string hint);

}  // namespace ldm
