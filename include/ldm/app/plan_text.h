#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ldm/app/metadata.h"

namespace ldm::app {

/// A LoRA's name and scale, and what of it the model has a place for.
std::string lora_text(const LoraUse& lora);

/// A run's plan for people, as --dry-run prints it; no final newline.
std::string plan_text(const RunFacts& facts, const std::vector<std::filesystem::path>& outputs);

/// What img2img makes of the wish for steps, "img2img: 24 of 30 steps (strength 0.8)"; empty for
/// text to image.
std::string planned_steps_text(const Plan& plan);

}  // namespace ldm::app
