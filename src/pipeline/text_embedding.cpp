#include "ldm/pipeline/text_embedding.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <map>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/loading/components.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/stage_hashes.h"
#include "ldm/pipeline/text_cache.h"

namespace ldm {
namespace {

using Ids = std::vector<std::int64_t>;

/// The ids of each chunk.
std::vector<Ids> chunks_of(const PromptTokens& tokens, std::size_t window) {
  std::vector<Ids> chunks;
  for (std::size_t at = 0; at < tokens.ids.size(); at += window) {
    const auto begin = tokens.ids.begin() + static_cast<std::ptrdiff_t>(at);
    chunks.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(window));
  }
  return chunks;
}

/// A class embedding's window is its one id.
std::size_t window_of(const Components& c) { return c.tokenizer ? c.tokenizer->max_length() : 1; }

Ids empty_prompt(const Components& c) { return c.tokenizer->frame({}); }

bool is_padded(const Plan& plan, const PromptTimeline& prompt, std::size_t window) {
  for (int call = 0; call < plan.steps; ++call) {
    const std::size_t at = plan.chunks.size() == 1 ? 0 : static_cast<std::size_t>(call);
    if (prompt.at(call).ids.size() < window * static_cast<std::size_t>(plan.chunks[at]))
      return true;
    if (prompt.at_call.empty() && plan.chunks.size() == 1) return false;
  }
  return false;
}

/// Every chunk that a prompt needs, among them the empty prompt where it pads or weighs.
std::vector<Ids> needed_chunks(const Components& c, const Plan& plan,
                               const PromptTimeline& prompt) {
  const std::size_t window = window_of(c);
  std::vector<Ids> needed;
  bool weighted = false;
  for (const PromptTokens& text : prompt.texts) {
    for (Ids& ids : chunks_of(text, window)) needed.push_back(std::move(ids));
    weighted = weighted || !text.weights.empty();
  }
  const bool from_empty = weighted && plan.request.prompt_weighting == PromptWeighting::kComfyUI;
  if (c.tokenizer && (from_empty || is_padded(plan, prompt, window))) {
    needed.push_back(empty_prompt(c));
  }
  return needed;
}

/// Encodes the texts of one plan.
class Encoder {
 public:
  Encoder(Components& c, const Plan& plan, TextCache& cache)
      : c_(c), plan_(plan), cache_(cache), window_(window_of(c)) {}

  /// [rows, S, D] of one call.
  at::Tensor context(int call) {
    std::vector<at::Tensor> rows;
    const std::size_t at = plan_.chunks.size() == 1 ? 0 : static_cast<std::size_t>(call);
    const int chunks = plan_.chunks[at];
    // As the public pipelines do, clip_skip leaves the negative prompt alone.
    for (int branch = 1; branch < plan_.branches; ++branch) {
      rows.push_back(embed(plan_.negative_prompt.at(call), 0, chunks));
    }
    for (const PromptTimeline& prompt : plan_.prompts) {
      rows.push_back(embed(prompt.at(call), plan_.request.clip_skip, chunks));
    }
    const at::Tensor context = at::cat(rows).to(c_.execution.dtype);
    if (all_finite(context)) return context;
    throw Error::non_finite("the text embedding became NaN or Inf",
                            "try --dtype fp32, or bf16 in place of fp16");
  }

 private:
  at::Tensor encode(const Ids& ids, int clip_skip) {
    return cache_.get(ids, clip_skip, [&] {
      const at::Tensor batch = at::tensor(ids).unsqueeze(0).to(c_.execution.device);
      return c_.text_encoder->get().encode(batch, clip_skip);
    });
  }

  at::Tensor embed(const PromptTokens& tokens, int clip_skip, int chunks) {
    std::vector<at::Tensor> parts;
    std::size_t begin = 0;
    for (const Ids& ids : chunks_of(tokens, window_)) {
      at::Tensor z = encode(ids, clip_skip);
      if (!tokens.weights.empty()) {
        const PromptWeighting weighting = plan_.request.prompt_weighting;
        const at::Tensor empty = weighting == PromptWeighting::kComfyUI
                                     ? encode(empty_prompt(c_), clip_skip)
                                     : at::Tensor();
        z = weigh_tokens(z, std::span(tokens.weights).subspan(begin, window_), weighting, empty);
      }
      parts.push_back(z.to(at::kFloat));
      begin += window_;
    }
    while (static_cast<int>(parts.size()) < chunks) {
      parts.push_back(encode(empty_prompt(c_), clip_skip).to(at::kFloat));
    }
    return parts.size() == 1 ? parts.front() : at::cat(parts, 1);
  }

  Components& c_;
  const Plan& plan_;
  TextCache& cache_;
  std::size_t window_;
};

/// The numbers of the wordings that a call sees.
std::vector<int> wording(const Plan& plan, int call) {
  std::vector<int> numbers = {plan.guided() ? plan.negative_prompt.number_at(call) : 0};
  for (const PromptTimeline& prompt : plan.prompts) numbers.push_back(prompt.number_at(call));
  return numbers;
}

}  // namespace

at::Tensor EncodedText::at(int call) const {
  if (contexts.empty()) return {};
  return contexts[at_call.empty()
                      ? 0
                      : static_cast<std::size_t>(at_call[static_cast<std::size_t>(call)])];
}

bool EncodedText::changes(int call) const {
  const auto i = static_cast<std::size_t>(call);
  return call > 0 && !at_call.empty() && at_call[i] != at_call[i - 1];
}

std::string EncodedText::sha256() const {
  if (contexts.size() <= 1) return tensor_sha256(at(0));
  std::string all;
  for (const at::Tensor& context : contexts) all += tensor_sha256(context);
  return sha256_hex(all);
}

bool needs_text_encoder(const Components& c, const Plan& plan, const TextCache& cache) {
  if (!c.text_encoder) return false;
  const auto lacks = [&](const PromptTimeline& prompt, int clip_skip) {
    const std::vector<Ids> needed = needed_chunks(c, plan, prompt);
    return std::any_of(needed.begin(), needed.end(),
                       [&](const Ids& ids) { return !cache.holds(ids, clip_skip); });
  };
  return (plan.guided() && lacks(plan.negative_prompt, 0)) ||
         std::any_of(plan.prompts.begin(), plan.prompts.end(), [&](const PromptTimeline& prompt) {
           return lacks(prompt, plan.request.clip_skip);
         });
}

EncodedText encode_prompts(Components& c, const Plan& plan, TextCache& cache) {
  if (!c.text_encoder) return {};
  const c10::InferenceMode inference;
  Encoder encoder(c, plan, cache);
  EncodedText text;
  std::map<std::vector<int>, int> known;
  for (int call = 0; call < std::max(1, plan.steps); ++call) {
    const auto [entry, fresh] =
        known.emplace(wording(plan, call), static_cast<int>(text.contexts.size()));
    if (fresh) text.contexts.push_back(encoder.context(call));
    text.at_call.push_back(entry->second);
  }
  if (text.contexts.size() == 1) text.at_call.clear();
  return text;
}

at::Tensor weigh_tokens(const at::Tensor& z, std::span<const float> weights,
                        PromptWeighting weighting, const at::Tensor& empty) {
  const at::Tensor z32 = z.to(at::kFloat);
  const at::Tensor w = at::tensor(at::ArrayRef<float>(weights.data(), weights.size()))
                           .view({1, -1, 1})
                           .to(z.device());
  if (weighting == PromptWeighting::kComfyUI) {
    const at::Tensor e = empty.to(at::kFloat);
    return (z32 - e) * w + e;
  }
  const at::Tensor weighted = z32 * w;
  if (weighting == PromptWeighting::kPlain) return weighted;
  return weighted * (z32.mean() / weighted.mean());
}

}  // namespace ldm
