#include "ldm/pipeline/stage_hashes.h"

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>

#include "ldm/core/text.h"
#include "ldm/io/hash.h"

namespace ldm {
namespace {

template <typename Number>
void add_numbers(std::string& text, const std::vector<Number>& numbers) {
  for (const Number number : numbers) text += cat(number, " ");
}

/// A line for each wording, and one that says when it is used where there are several.
void add_timeline(std::string& text, const PromptTimeline& prompt) {
  for (const PromptTokens& tokens : prompt.texts) {
    add_numbers(text, tokens.ids);
    if (!tokens.weights.empty()) text += "weights ";
    add_numbers(text, tokens.weights);
    text += "\n";
  }
  if (prompt.texts.size() < 2) return;
  text += "at ";
  add_numbers(text, prompt.at_call);
  text += "\n";
}

}  // namespace

std::string tokens_sha256(const Plan& plan) {
  std::string text;
  for (const PromptTimeline& prompt : plan.prompts) add_timeline(text, prompt);
  add_timeline(text, plan.negative_prompt);
  return sha256_hex(text);
}

std::string tensor_sha256(const at::Tensor& x) {
  if (!x.defined()) return {};
  const at::Tensor plain = x.to(at::kCPU).contiguous();
  return sha256_hex({static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
}

}  // namespace ldm
