// In builds without libtorch, and so without the table of samplers: some of its names.
#include <string>
#include <vector>

#include "ldm/schedulers/registry.h"
#include "ldm/schedulers/schedule_choice.h"

std::vector<std::string> ldm::schedule_names() { return {"default", "karras"}; }

std::vector<std::string> ldm::sampler_names() { return {"ddim", "euler", "euler-a"}; }
