#include "ldm/app/batch_run.h"

#include <utility>

#include "ldm/app/events.h"
#include "ldm/app/preview_file.h"
#include "ldm/app/resolve.h"
#include "ldm/core/text.h"
#include "ldm/loading/open.h"

namespace ldm::app {

BatchRun::BatchRun(Options run_options, Session& run_session)
    : options(std::move(run_options)),
      session(run_session),
      console(session.console),
      settings(read_batch_settings(options)),
      folder(*options.output_dir, settings.shard, settings.shared),
      progress(session.console, shows_progress(options, session.console)) {
  choose_seed();
  check_preview_path(options, {});
  JobReader reader(options);
  choose_device();
  model = open_run_model(options, session);
  pipeline = std::make_unique<Pipeline>(model.components);
  pipeline->expect_more_runs();
  pipeline->allow_late_pictures();
  maker = std::make_unique<TaskMaker>(model, *pipeline, settings.names);
  jobs = std::make_unique<BatchJobs>(std::move(reader), *maker, settings.shard);
  batch_size =
      options.batch_size ? static_cast<int>(*options.batch_size) : pipeline->default_batch_size();
  progress.expect_loads(pipeline->parameter_counts());
  session.on_load = [this](const LoadInfo& info) { progress.on_load(info); };
}

BatchRun::~BatchRun() {
  session.report.stages = pipeline->timings();
  session.on_load = {};
}

void BatchRun::choose_seed() {
  if (options.seed) return;
  options.seed = folder.recorded_seed();
  const bool recorded = options.seed.has_value();
  if (!recorded) options.seed = random_seed();
  console.info(cat("seed ", *options.seed, recorded ? ", as when the folder was begun" : ""));
}

/// Processes of one machine take a GPU each.
void BatchRun::choose_device() {
  if (!settings.shard.local_rank || options.device != "cuda") return;
  options.device = cat("cuda:", *settings.shard.local_rank);
}

void BatchRun::note_failure(std::int64_t index, const std::string& source, const Error& error) {
  const nlohmann::ordered_json event = failed_event(index, source, error);
  folder.note(event);
  console.event(event);
  ++session.report.failed;
}

}  // namespace ldm::app
