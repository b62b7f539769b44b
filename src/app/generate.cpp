#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "ldm/app/batch.h"
#include "ldm/app/commands.h"
#include "ldm/app/config_file.h"
#include "ldm/app/events.h"
#include "ldm/app/grid.h"
#include "ldm/app/jobs.h"
#include "ldm/app/metadata.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/picture_queue.h"
#include "ldm/app/picture_writer.h"
#include "ldm/app/plan_text.h"
#include "ldm/app/preview_file.h"
#include "ldm/app/progress.h"
#include "ldm/app/resolve.h"
#include "ldm/app/run_model.h"
#include "ldm/app/signals.h"
#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/image.h"
#include "ldm/loading/model_files.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

/// Sets how the console talks; whether progress is shown.
bool apply_modes(const Options& options, Session& session) {
  session.console.json = options.json.value_or(false);
  session.console.quiet = options.quiet.value_or(false);
  return shows_progress(options, session.console);
}

/// One run of `generate`, stage by stage.
struct Run {
  Session& session;
  Console& console;
  Options options;
  Inputs inputs;
  std::vector<fs::path> outputs;
  std::shared_ptr<Components> components;
  RunFacts facts;
  ProgressMeter progress;

  Run(const Options& command_line, Session& where)
      : session(where),
        console(where.console),
        options(with_config_file(command_line)),
        progress(console, apply_modes(options, where)) {
    session.on_load = [this](const LoadInfo& info) { progress.on_load(info); };
  }
  ~Run() { session.on_load = {}; }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
};

void print_config(Run& run) {
  const ModelFiles folder = open_model(resolve_model(run.options));
  fill_defaults(run.options, folder.defaults);
  const std::string text = config_text(run.options);
  run.console.result(text.substr(0, text.size() - 1));
}

/// All that can be checked and read before a model is opened.
void prepare(Run& run) {
  run.inputs = read_inputs(run.options);
  if (run.inputs.init_latents && !run.options.num_images) {
    run.options.num_images = run.inputs.init_latents->shape[0];
  }
  if (!run.options.seed) {
    run.options.seed = random_seed();
    run.console.info(cat("seed ", *run.options.seed));
  }
  run.outputs = resolve_output_paths({run.options.output, *run.options.seed,
                                      run.options.num_images.value_or(1),
                                      run.options.overwrite.value_or(false)});
  std::vector<fs::path> all = run.outputs;
  if (run.options.save_latents) {
    const fs::path latents = *run.options.save_latents;
    if (std::find(all.begin(), all.end(), latents) != all.end()) {
      throw Error::usage(cat("--output and --save-latents are both ", latents.string()));
    }
    all.push_back(latents);
  }
  if (run.options.grid) {
    if (std::find(all.begin(), all.end(), fs::path(*run.options.grid)) != all.end()) {
      throw Error::usage(cat("--grid ", *run.options.grid, " names another output too"));
    }
    all.emplace_back(*run.options.grid);
  }
  check_output_folders(all);
  check_preview_path(run.options, all);
}

void choose_model(Run& run) {
  RunModel model = open_run_model(run.options, run.session);
  fill_defaults(run.options, model.defaults);
  run.components = std::move(model.components);
  run.facts = std::move(model.facts);
  add_inputs(run.facts, run.inputs);
}

void announce_plan(const Run& run) {
  const Plan& plan = run.facts.plan;
  run.console.event(plan_event(run.facts, run.outputs));
  warn_of_cut_text(plan, run.console);
  for (const LoraUse& lora : plan.loras) run.console.info("LoRA " + lora_text(lora));
  const std::string steps = planned_steps_text(plan);
  if (!steps.empty()) run.console.info(steps);
}

/// Refuses to replace files, unless they hold the results of this very request.
void check_outputs_free(const Run& run) {
  if (run.options.overwrite.value_or(false)) return;
  const auto is_same = [&run](std::size_t index) {
    const std::uint64_t seed = run.facts.plan.request.seed + index;
    return records_job(run.outputs[index].string(), job_hash(run.facts, seed));
  };
  const bool repeats = check_existing(run.outputs, is_same);
  if (run.options.save_latents) {
    check_existing({*run.options.save_latents}, [repeats](std::size_t) { return repeats; });
  }
}

/// The sheet of --grid, planned before anything is made.
std::optional<Grid> plan_grid_file(const Run& run) {
  if (!run.options.grid) return std::nullopt;
  const Request& request = run.facts.plan.last_pass().request;
  std::vector<GridPicture> pictures;
  for (std::size_t k = 0; k < run.outputs.size(); ++k) {
    const std::uint64_t seed = request.seed + k;
    pictures.push_back({&run.options, seed, job_hash(run.facts, seed), 0, 0,
                        static_cast<std::int64_t>(k), request.width, request.height});
  }
  return Grid(*run.options.grid, pictures, {}, run.options, metadata_mode(*run.options.metadata),
              run.options.overwrite.value_or(false));
}

void throw_if_stopped(const RunReport& report, int wanted) {
  if (received_signal() != 0) throw stopped_by_signal(received_signal(), report.images, wanted);
}

void make_pictures(Run& run, Pipeline& pipeline) {
  RunReport& report = run.session.report;
  const Options& options = run.options;
  const MetadataMode metadata = metadata_mode(*options.metadata);
  const IfExists if_exists =
      options.overwrite.value_or(false) ? IfExists::kReplace : IfExists::kKeepIdentical;
  PictureWriter writer(run.outputs, if_exists, options.save_latents.has_value());
  ProgressMeter& progress = run.progress;
  const int wanted = run.facts.plan.request.num_images;
  bool started = false;
  PictureQueue finishing(run.facts.execution);
  RunCallbacks callbacks;
  callbacks.on_stage = [&](RunStage stage) { progress.on_stage(stage); };
  callbacks.on_denoise_start = [&] {
    if (!std::exchange(started, true)) report.start_to_first_step_s = seconds_since_process_start();
    throw_if_stopped(report, wanted);
  };
  callbacks.on_step = [&](const StepInfo& info) {
    progress.on_step(info);
    finishing.commit_ready();
    if (run.console.json) {
      run.console.event(step_event(info, progress.state().left_s, rss_bytes()));
    }
    return received_signal() == 0;
  };
  callbacks.on_image = [&](ImageResult&& result) {
    if (run.facts.weights.empty() && metadata != MetadataMode::kNone) {
      run.facts.weights = weight_hashes(*run.components);
    }
    const auto picture = std::make_shared<const ImageResult>(std::move(result));
    finishing.add([=, &run] { return encode_picture_file(*picture, run.facts, metadata); },
                  [=, &run, &report, &progress, &writer](const std::vector<std::byte>& png) {
                    const WrittenPicture written = writer.write(*picture, png);
                    ++report.images;
                    progress.on_image(*picture, written.path);
                    announce_picture(written, progress, run.console);
                    write_heatmap(written.path, *picture, if_exists, run.console);
                  });
  };
  add_preview(options, run.console, callbacks);
  const PictureCost picture = pipeline.picture_cost(run.facts.plan);
  progress.expect_loads(pipeline.parameter_counts());
  progress.begin({picture, picture * wanted, wanted, wanted, 0});
  progress.on_start(run.facts.model_name);
  run_finishing([&] { pipeline.run(run.facts.plan, callbacks); }, [&] { finishing.drain(); });
  progress.finish();
  report.stages = pipeline.timings();
  if (options.save_latents) writer.write_latents(*options.save_latents);
}

void write_grid(const Run& run, const Grid& grid) {
  const auto read = [&run](std::size_t i) -> std::optional<Image> {
    throw_if_stopped(run.session.report, run.facts.plan.request.num_images);
    try {
      return load_image(run.outputs[i]);
    } catch (const Error&) {
      return std::nullopt;  // a file beyond what is read back: its cell stays empty
    }
  };
  grid.write(read, run.console);
}

/// Runs the plan; keeps what was done for the report however it ends.
void make_pictures_reporting(Run& run, Pipeline& pipeline) {
  const int wanted = run.facts.plan.request.num_images;
  RunReport& report = run.session.report;
  try {
    make_pictures(run, pipeline);
  } catch (...) {
    report.stages = pipeline.timings();
    if (received_signal() != 0 && report.images < wanted) {
      throw stopped_by_signal(received_signal(), report.images, wanted);
    }
    report.failed = wanted - report.images;
    throw;
  }
}

}  // namespace

void generate(const Options& command_line, Session& session) {
  Run run(command_line, session);
  if (run.options.print_config.value_or(false)) return print_config(run);
  session.makes_pictures = true;
  if (is_batch(run.options)) return generate_batch(run.options, session);
  prepare(run);
  choose_model(run);
  Pipeline pipeline(run.components);
  run.facts.plan = pipeline.plan(make_request(run.options, run.inputs));
  check_eta(run.facts.plan);
  check_outputs_free(run);
  const std::optional<Grid> grid = plan_grid_file(run);
  const bool dry_run = run.options.dry_run.value_or(false);
  if (dry_run) run.facts.plan.seconds = pipeline.estimate_seconds(run.facts.plan);
  announce_plan(run);
  if (dry_run) {
    if (!run.console.json) run.console.result(plan_text(run.facts, run.outputs));
    return;
  }
  make_pictures_reporting(run, pipeline);
  if (grid) write_grid(run, *grid);
  show_timings(run.options, session);
}

}  // namespace ldm::app
