#include <algorithm>

#include "ldm/app/commands.h"
#include "ldm/app/events.h"
#include "ldm/core/text.h"
#include "ldm/schedulers/registry.h"
#include "ldm/schedulers/schedule_choice.h"

namespace ldm::app {
namespace {

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text + " ";
}

/// "all", or the schedules by name, and the lists of levels that fit.
std::string fitting_levels(const SamplerEntry& entry) {
  const std::vector<std::string> schedules = entry.schedules();
  std::string text = schedules == schedule_names() ? "all schedules" : join(schedules, " ");
  if (entry.takes_sigmas()) text += " --sigmas";
  if (entry.takes_timesteps()) text += " --timesteps";
  return text;
}

}  // namespace

void list_samplers(const Options&, Console& console) {
  if (console.json) {
    nlohmann::ordered_json out = {{"schema", 1}};
    for (const SamplerEntry& entry : samplers()) {
      out["samplers"].push_back({{"name", entry.name},
                                 {"diffusers_class", entry.public_name()},
                                 {"source", entry.source},
                                 {"schedules", entry.schedules()},
                                 {"sigmas", entry.takes_sigmas()},
                                 {"timesteps", entry.takes_timesteps()},
                                 {"eta", entry.traits.takes_eta}});
    }
    console.result(out.dump());
    return;
  }
  for (const SamplerEntry& entry : samplers()) {
    console.result(padded(entry.name, 12) + padded(entry.public_name(), 31) +
                   padded(fitting_levels(entry), 36) + entry.source);
  }
}

}  // namespace ldm::app
