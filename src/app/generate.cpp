#include <algorithm>
#include <memory>
#include <utility>

#include "ldm/app/commands.h"
#include "ldm/app/config_file.h"
#include "ldm/app/events.h"
#include "ldm/app/metadata.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/picture_writer.h"
#include "ldm/app/plan_text.h"
#include "ldm/app/progress.h"
#include "ldm/app/resolve.h"
#include "ldm/app/signals.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/loading/model_files.h"
#include "ldm/loading/open.h"
#include "ldm/loading/single_file.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

/// One run of `generate`, stage by stage.
struct Run {
  Session& session;
  Console& console;
  Options options;
  Inputs inputs;
  std::vector<fs::path> outputs;
  std::shared_ptr<Components> components;
  RunFacts facts;

  explicit Run(Session& where) : session(where), console(where.console) {}
};

void apply_modes(const Options& options, Session& session) {
  session.console.json = options.json.value_or(false);
  session.console.quiet = options.quiet.value_or(false);
}

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
  check_output_folders(all);
}

void choose_model(Run& run) {
  const fs::path path = resolve_model(run.options);
  ModelFiles folder = open_model(path, run.options.prediction_type.value_or(""));
  fill_defaults(run.options, folder.defaults);
  if (run.options.vae) {
    folder.component("vae") = open_vae_file(*run.options.vae);
    run.facts.vae_name = fs::path(*run.options.vae).filename().string();
  }
  run.facts.model_name = model_display_name(run.options, path);
  run.facts.family = folder.family.name;
  run.facts.init_image_sha256 = run.inputs.init_image_sha256;
  run.facts.mask_sha256 = run.inputs.mask_sha256;
  run.facts.depth_sha256 = run.inputs.depth_sha256;
  run.facts.init_latents_sha256 = run.inputs.init_latents_sha256;
  run.components = open_components(
      std::move(folder), make_execution_request(run.options),
      [&session = run.session](const LoadInfo& info) {
        session.report.load_s += info.seconds;
        session.console.event(load_event(info));
      },
      make_lora_request(run.options));
  run.facts.loras = loras_in_use(*run.components);
  run.facts.execution = execution_summary(*run.components);
  run.session.report.execution = run.facts.execution;
}

void warn_of_cut_text(const PromptTokens& tokens, const std::string& what, Console& console) {
  if (tokens.cut_text.empty()) return;
  console.warning({LogLevel::kWarning, "prompt-truncated",
                   cat("the ", what, " is too long (", tokens.token_count, " tokens); cut off: \"",
                       tokens.cut_text, "\""),
                   "shorten it, or make this an error with --long-prompt error"});
}

void check_eta(const Plan& plan) {
  if (plan.request.eta > 0 && plan.scheduler_class != "DDIMScheduler") {
    throw Error::usage(
        cat("--eta works with the ddim sampler only, not with ", plan.request.sampler),
        "add --sampler ddim, or leave --eta out");
  }
}

void announce_plan(const Run& run) {
  const Plan& plan = run.facts.plan;
  run.console.event(plan_event(run.facts, run.outputs));
  warn_of_cut_text(plan.prompt, "prompt", run.console);
  if (plan.guided()) warn_of_cut_text(plan.negative_prompt, "negative prompt", run.console);
  const std::string steps = planned_steps_text(plan);
  if (!steps.empty()) run.console.info(steps);
}

/// Refuses to replace files, unless they hold the results of this very request.
void check_outputs_free(const Run& run) {
  if (run.options.overwrite.value_or(false)) return;
  const auto is_same = [&run](std::size_t index) {
    const std::uint64_t seed = run.facts.plan.request.seed + index;
    return records_settings(run.outputs[index].string(),
                            picture_settings(run.facts, seed, static_cast<int>(index)));
  };
  const bool repeats = check_existing(run.outputs, is_same);
  if (run.options.save_latents) {
    check_existing({*run.options.save_latents}, [repeats](std::size_t) { return repeats; });
  }
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
  PictureWriter writer(run.console, run.outputs, metadata, if_exists,
                       options.save_latents.has_value());
  const bool shown =
      !options.no_progress.value_or(false) && !run.console.quiet && !run.console.json;
  ProgressMeter progress(run.console, run.facts.plan, shown);
  const int wanted = run.facts.plan.request.num_images;
  bool started = false;
  RunCallbacks callbacks;
  callbacks.on_denoise_start = [&] {
    if (!std::exchange(started, true)) report.start_to_first_step_s = seconds_since_process_start();
    throw_if_stopped(report, wanted);
  };
  callbacks.on_step = [&](const StepInfo& info) {
    run.console.event(step_event(info));
    progress.on_step(info);
    return received_signal() == 0;
  };
  callbacks.on_image = [&](ImageResult&& result) {
    if (run.facts.weights.empty() && metadata != MetadataMode::kNone) {
      run.facts.weights = weight_hashes(*run.components);
    }
    writer.write(result, run.facts);
    ++report.images;
    progress.on_image(result, writer.path_of(result.index));
  };
  progress.on_start(run.facts.model_name);
  pipeline.run(run.facts.plan, callbacks);
  progress.finish();
  report.stages = pipeline.timings();
  if (options.save_latents) writer.write_latents(*options.save_latents);
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
  Run run(session);
  run.options = with_config_file(command_line);
  apply_modes(run.options, session);
  if (run.options.print_config.value_or(false)) return print_config(run);
  session.makes_pictures = true;
  prepare(run);
  choose_model(run);
  Pipeline pipeline(run.components);
  run.facts.plan = pipeline.plan(make_request(run.options, run.inputs));
  check_eta(run.facts.plan);
  check_outputs_free(run);
  const bool dry_run = run.options.dry_run.value_or(false);
  if (dry_run) run.facts.plan.seconds = pipeline.estimate_seconds(run.facts.plan);
  announce_plan(run);
  if (dry_run) {
    if (!run.console.json) run.console.result(plan_text(run.facts, run.outputs));
    return;
  }
  make_pictures_reporting(run, pipeline);
  if (!run.options.timings.value_or(false)) return;
  session.report.total_s = seconds_since_process_start();
  session.report.peak = peak_memory();
  session.console.report(timings_table(session.report));
}

}  // namespace ldm::app
