#include "ldm/pipeline/stage_hashes.h"

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>

#include "ldm/io/hash.h"

namespace ldm {

std::string tokens_sha256(const Plan& plan) {
  std::string text;
  for (const PromptTokens* tokens : {&plan.prompt, &plan.negative_prompt}) {
    for (const std::int64_t id : tokens->ids) text += std::to_string(id) + " ";
    text += "\n";
  }
  return sha256_hex(text);
}

std::string tensor_sha256(const at::Tensor& x) {
  if (!x.defined()) return {};
  const at::Tensor plain = x.to(at::kCPU).contiguous();
  return sha256_hex({static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
}

}  // namespace ldm
