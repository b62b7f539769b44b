#include <array>
#include <cstdio>

#include "ldm/app/commands.h"
#include "ldm/app/events.h"
#include "ldm/schedulers/registry.h"

namespace ldm::app {

void list_samplers(const Options&, Console& console) {
  if (console.json) {
    nlohmann::ordered_json out = {{"schema", 1}};
    for (const SamplerEntry& entry : samplers()) {
      out["samplers"].push_back({{"name", entry.name},
                                 {"diffusers_class", entry.diffusers_class},
                                 {"source", entry.source}});
    }
    console.result(out.dump());
    return;
  }
  for (const SamplerEntry& entry : samplers()) {
    std::array<char, 96> columns{};
    std::snprintf(columns.data(), columns.size(), "%-12s %-34s ", entry.name,
                  entry.diffusers_class);
    console.result(std::string(columns.data()) + entry.source);
  }
}

}  // namespace ldm::app
