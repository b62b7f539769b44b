#include "ldm/app/batch_settings.h"

#include <vector>

#include "ldm/app/option_values.h"

namespace ldm::app {
namespace {

void check_batch_options(const Options& options) {
  std::vector<Problem> problems;
  if (!options.output_dir) {
    problems.push_back({"a batch needs a folder for its pictures", "add --output-dir DIR"});
  }
  if (options.output) problems.push_back({"--output names one picture, not those of a batch", {}});
  if (options.save_latents) problems.push_back({"--save-latents cannot be used in a batch", {}});
  if (options.jobs && options.prompts) {
    problems.push_back({"--jobs and --prompts exclude each other", {}});
  }
  if (options.prompt == "-" && (options.jobs == "-" || options.prompts == "-")) {
    problems.push_back({"stdin cannot be both the prompt and the jobs", {}});
  }
  if (options.shard && options.shared) {
    problems.push_back({"--shard and --shared exclude each other", {}});
  }
  if (options.grid && (options.jobs == "-" || options.prompts == "-")) {
    problems.push_back(
        {"--grid must know all pictures before the first: jobs cannot come from stdin",
         "write them into a file"});
  }
  if (options.grid && (options.shard || options.shared)) {
    problems.push_back({"--grid shows a whole batch, not what one of several processes makes",
                        "run the command once more without --shard and --shared when all is made"});
  }
  throw_problems(problems);
}

}  // namespace

BatchSettings read_batch_settings(const Options& options) {
  check_batch_options(options);
  BatchSettings settings;
  settings.names = NameTemplate(options.name_template.value_or("{index:06}-{seed}.png"));
  if (options.shard) settings.shard = read_shard(*options.shard);
  settings.shared = options.shared.value_or(false);
  settings.keep_going = options.keep_going.value_or(false);
  if (options.time_limit) settings.time_limit = read_time_limit(*options.time_limit);
  settings.metadata = metadata_mode(options.metadata.value_or("full"));
  if (options.overwrite.value_or(false)) settings.if_exists = IfExists::kReplace;
  return settings;
}

}  // namespace ldm::app
