#include "ldm/app/plan_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "ldm/app/option_values.h"
#include "ldm/app/progress.h"
#include "ldm/core/text.h"
#include "ldm/pipeline/compat.h"

namespace ldm::app {
namespace {

std::string row(const std::string& name, const std::string& value) {
  return name + std::string(name.size() < 12 ? 12 - name.size() : 1, ' ') + value + "\n";
}

std::string numbers(const std::vector<double>& values) {
  std::vector<std::string> words;
  for (const double value : values) {
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.6g", value);
    words.emplace_back(buffer.data());
  }
  return join(words, " ");
}

std::string shape(const std::vector<std::int64_t>& sizes) {
  std::vector<std::string> words;
  for (const std::int64_t size : sizes) words.push_back(std::to_string(size));
  return join(words, "x");
}

std::string sampler_row(const Plan& plan) {
  const Request& request = plan.request;
  const int batch = std::max(1, request.batch_size);
  const int batches = (request.num_images + batch - 1) / batch;
  std::string text = cat(request.sampler, " (", plan.scheduler_class, "), ",
                         request.num_inference_steps, " steps, ", plan.steps, " UNet calls");
  if (batches > 1) text += cat(" for each of ", batches, " batches");
  return row("sampler", text);
}

std::string second_pass_text(const Plan& plan) {
  const Plan& second = *plan.second_pass;
  return cat(second.request.width, "x", second.request.height, ", latents ",
             shape(second.latent_shape), ", ", second.steps, " UNet calls for ",
             second.request.num_inference_steps, " steps at strength ",
             number_text(*second.request.strength), ", from the ",
             plan.request.hires->by_image ? "picture" : "latents");
}

std::string prompt_row(const Plan& plan, const PromptTimeline& prompt) {
  const PromptTokens& first = prompt.texts.front();
  if (first.ids.empty()) return {};
  std::string text = cat(first.token_count, " tokens");
  const int chunks = *std::max_element(plan.chunks.begin(), plan.chunks.end());
  if (chunks > 1) text += cat(", ", chunks, " chunks");
  if (prompt.texts.size() > 1) text += cat(", ", prompt.texts.size(), " wordings over the steps");
  if (plan.prompts.size() > 1) text += ", weight " + number_text(prompt.weight);
  return row("prompt", text);
}

/// How the levels are spread, where the request says so.
std::string levels_row(const Plan& plan) {
  const ScheduleChoice& schedule = plan.request.schedule;
  if (schedule.listed()) return row("schedule", "as listed");
  if (schedule.name == "default") return {};
  std::string text = schedule.name;
  if (schedule.rho) text += cat(", rho ", number_text(*schedule.rho));
  return row("schedule", text);
}

std::string compat_row(const Request& request) {
  if (request.compat == "diffusers") return {};
  return row("compat", cat(request.compat, ": ", compat_of(request).what));
}

std::string outputs_row(const std::vector<std::filesystem::path>& outputs) {
  if (outputs.empty()) return {};
  std::string text = outputs.front().string();
  if (outputs.size() > 1) text += cat(" … ", outputs.back().string());
  return row("output", escape_control(text));
}

}  // namespace

std::string lora_text(const LoraUse& lora) {
  return cat(escape_control(lora.name), ", scale ", number_text(lora.scale), ", ", lora.layers,
             " layers, ", lora.tensors - lora.unmatched, " of ", lora.tensors, " tensors matched");
}

std::string plan_text(const RunFacts& facts, const std::vector<std::filesystem::path>& outputs) {
  const Plan& plan = facts.plan;
  const Request& request = plan.request;
  std::string out = row("model", escape_control(facts.model_name + " (" + facts.family + ")"));
  for (const LoraUse& lora : plan.loras) out += row("lora", lora_text(lora));
  for (const EmbeddingUse& one : facts.embeddings) {
    out += row("embedding", cat(escape_control(one.word), ", ", one.vectors, " vectors of ",
                                escape_control(one.name)));
  }
  for (const ControlNetUse& net : facts.controlnets) {
    out += row("controlnet", cat(escape_control(net.name), ", scale ", number_text(net.scale)));
  }
  if (request.class_label) {
    out += row("class", cat(*request.class_label));
  } else {
    for (const PromptTimeline& prompt : plan.prompts) out += prompt_row(plan, prompt);
  }
  out +=
      row("size", cat(request.width, "x", request.height, ", latents ", shape(plan.latent_shape)));
  out += sampler_row(plan) + levels_row(plan) + compat_row(request);
  const std::string steps = planned_steps_text(plan);
  if (!steps.empty()) out += row("start", steps);
  if (plan.second_pass) out += row("hires", second_pass_text(plan));
  out += row("guidance", plan.guided() ? number_text(request.guidance_scale) : "off");
  std::string seeds = std::to_string(request.seed);
  if (request.num_images > 1) {
    seeds += cat("…", request.seed + static_cast<std::uint64_t>(request.num_images - 1));
  }
  out += row("seed", seeds);
  out += row("machine", cat(facts.execution.device, ", ", facts.execution.dtype,
                            facts.execution.products.empty() ? ", " : " with products of 8 bits, ",
                            facts.execution.threads, " threads, ", facts.execution.isa));
  out += row("memory", cat("about ", human_bytes(plan.memory_bytes)));
  if (plan.seconds > 0) out += row("time", cat("about ", clock_text(plan.seconds)));
  out += outputs_row(outputs);
  out += row("timesteps", numbers(plan.timesteps));
  out += row("sigmas", numbers(plan.sigmas));
  if (plan.second_pass) {
    out += row("hires steps", numbers(plan.second_pass->timesteps));
    out += row("hires sigmas", numbers(plan.second_pass->sigmas));
  }
  out.pop_back();
  return out;
}

std::string planned_steps_text(const Plan& plan) {
  const Request& request = plan.request;
  if (!plan.image_to_image) return {};
  return cat("img2img: ", plan.steps, " UNet calls for ", request.num_inference_steps,
             " steps at strength ", number_text(*request.strength));
}

}  // namespace ldm::app
