// In builds without libtorch, and so without the table of samplers: some of its names.
#include <string>
#include <string_view>
#include <vector>

#include "ldm/schedulers/registry.h"
#include "ldm/schedulers/schedule_choice.h"

namespace ldm {

std::vector<std::string> schedule_names() { return {"default", "karras"}; }

std::vector<std::string> sampler_names() { return {"ddim", "euler", "euler-a"}; }

const SamplerEntry& find_sampler(std::string_view /*name*/) {
  static const SamplerEntry any{};
  return any;
}

std::vector<std::string> SamplerEntry::schedules() const { return schedule_names(); }

}  // namespace ldm
