#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "ldm/app/check_options.h"
#include "ldm/app/commands.h"
#include "ldm/app/events.h"
#include "ldm/app/inputs.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/picture_writer.h"
#include "ldm/app/progress.h"
#include "ldm/app/recorded_picture.h"
#include "ldm/app/recorded_settings.h"
#include "ldm/app/replay_report.h"
#include "ldm/app/resolve.h"
#include "ldm/app/run_model.h"
#include "ldm/app/signals.h"
#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/loading/open.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

/// One replay, stage by stage.
struct Replay {
  std::string name;  ///< the picture as the user named it
  Session& session;
  Console& console;
  Image image;
  RecordedPicture recorded;
  Options options;
  Inputs inputs;
  std::vector<fs::path> outputs;
  std::shared_ptr<Components> components;
  RunFacts facts;
  std::set<std::string> told;  ///< components of which other weights were told
  ProgressMeter progress;

  Replay(std::string picture, const Options& command_line, Session& where)
      : name(std::move(picture)),
        session(where),
        console(where.console),
        progress(console, shows_progress(command_line, console)) {
    session.on_load = [this](const LoadInfo& info) { progress.on_load(info); };
  }
  ~Replay() { session.on_load = {}; }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;
};

void warn(const Replay& run, const char* code, const std::string& message,
          const std::string& hint = {}) {
  run.console.warning({LogLevel::kWarning, code, cat(run.name, ": ", message), hint});
}

void read_picture_again(Replay& run) {
  std::string bytes;
  try {
    bytes = read_small_file(run.name, kMaxImageBytes);
  } catch (Error& error) {
    throw error.with_code(ErrorCode::kInput);
  }
  const auto view = std::as_bytes(std::span(bytes));
  const std::vector<PngText> text = read_png_text(view, run.name);
  run.image = decode_image(view, run.name);
  run.recorded = read_recorded_picture(text, run.name);
  constexpr std::size_t kMostNotes = 20;
  if (!run.recorded.notes.empty()) {
    warn(run, "settings-left-out", join(run.recorded.notes, "; ", kMostNotes));
  }
  if (!run.recorded.own) {
    warn(run, "no-hashes", "it records settings and no hashes: only its pixels can be compared");
  }
}

const OptionSpec& option_of(const RecordedFile& file) {
  const std::string key(file.hash);
  return *find_option(key.substr(0, key.rfind("_sha256")));
}

/// Every file that the picture was made with must be given, and no other.
void check_given(const Replay& run) {
  const RecordedPicture& recorded = run.recorded;
  for (const RecordedFile& file : recorded_files()) {
    const auto found = recorded.files.find(std::string(file.hash));
    const bool given = is_set(option_of(file), run.options);
    if (found != recorded.files.end() && !given) {
      throw Error::usage(cat(run.name, ": it was made with a file that it does not hold"),
                         cat("add ", file.flag, " FILE, the one with SHA-256 ", found->second));
    }
    if (recorded.own && found == recorded.files.end() && given) {
      throw Error::usage(cat(run.name, ": it was made without ", file.flag));
    }
  }
  if (!recorded.own && run.options.strength && !run.options.init_image &&
      !run.options.init_latents) {
    throw Error::usage(cat(run.name, ": it was made from another picture"),
                       "add --init-image FILE");
  }
  if (!recorded.vae.empty() && !run.options.vae) {
    throw Error::usage(cat(run.name, ": it was made with another autoencoder"),
                       cat("add --vae PATH, where \"", escape_control(recorded.vae), "\" is"));
  }
}

/// Exactly the recorded files must be given under `flag`, in their order.
void check_count(const Replay& run, const char* flag, const std::vector<std::string>& names,
                 std::size_t given) {
  if (given == names.size()) return;
  throw Error::usage(
      cat(run.name, ": it was made with ", names.size(), " files of ", flag, ", ", given,
          " are given"),
      names.empty() ? cat("leave ", flag, " out")
                    : cat("add a ", flag, " FILE for each of, in this order: ", join(names, ", ")));
}

/// As many ControlNets and pictures as recorded; the given ones take the recorded scales.
void take_controlnets(Replay& run) {
  const std::vector<ControlNetUse>& recorded = run.recorded.controlnets;
  if (!run.recorded.own) return;
  const std::size_t nets = run.options.controlnet ? run.options.controlnet->size() : 0;
  const std::size_t pictures = run.options.control_image ? run.options.control_image->size() : 0;
  if (nets != recorded.size() || pictures != recorded.size()) {
    std::vector<std::string> names;
    for (const ControlNetUse& net : recorded) names.push_back(escape_control(net.name));
    throw Error::usage(
        cat(run.name, ": it was made with ", recorded.size(), " ControlNets and as many pictures, ",
            nets, " and ", pictures, " are given"),
        names.empty() ? "leave --controlnet and --control-image out"
                      : "add a --controlnet PATH and a --control-image FILE for each of, in this "
                        "order: " +
                            join(names, ", "));
  }
  const std::vector<ControlNetChoice> choices = make_controlnet_choices(run.options);
  for (std::size_t i = 0; i < nets; ++i) {
    (*run.options.controlnet)[i] =
        cat(choices[i].path.string(), ":", number_text(recorded[i].scale));
  }
}

/// The given LoRAs and embeddings take the recorded scales and words, in the recorded order.
void take_additions(Replay& run) {
  if (!run.recorded.own) return;
  std::vector<std::string> loras;
  std::vector<double> scales;
  std::vector<std::string> embeddings;
  for (const LoraUse& lora : run.recorded.loras) {
    if (lora.from_prompt) continue;
    loras.push_back(escape_control(lora.name));
    scales.push_back(lora.scale);
  }
  for (const EmbeddingUse& one : run.recorded.embeddings) {
    embeddings.push_back(escape_control(one.name));
  }
  auto& given = run.options.lora;
  auto& words = run.options.embedding;
  check_count(run, "--lora", loras, given ? given->size() : 0);
  check_count(run, "--embedding", embeddings, words ? words->size() : 0);
  Options files = run.options;
  files.prompt_syntax.reset();
  const LoraRequest request = make_lora_request(files);
  for (std::size_t i = 0; i < loras.size(); ++i) {
    (*given)[i] = cat(request.files[i].file.string(), ":", number_text(scales[i]));
  }
  const std::vector<EmbeddingChoice> choices = make_embedding_choices(files);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    (*words)[i] = cat(choices[i].file.string(), ":", run.recorded.embeddings[i].word);
  }
}

void check_sha256(const Replay& run, const std::string& what, const std::string& recorded,
                  const std::string& here) {
  if (recorded == here) return;
  throw Error::input(cat(run.name, ": ", what, " is not the one it was made with: SHA-256 ", here,
                         ", recorded ", recorded));
}

/// Reads what `generate` would read; the prompt is text even where it looks like a wish for stdin.
void read_replay_inputs(Replay& run) {
  Options files = run.options;
  files.prompt.reset();
  run.inputs = read_inputs(files);
  run.inputs.prompt = run.options.prompt.value_or("");
  const std::map<std::string, std::string> here = {
      {"init_image_sha256", run.inputs.init_image_sha256},
      {"mask_sha256", run.inputs.mask_sha256},
      {"depth_sha256", run.inputs.depth_sha256},
      {"init_latents_sha256", run.inputs.init_latents_sha256}};
  for (const RecordedFile& file : recorded_files()) {
    const auto found = run.recorded.files.find(std::string(file.hash));
    if (found == run.recorded.files.end()) continue;
    check_sha256(run, std::string(file.flag), found->second, here.at(found->first));
  }
  for (std::size_t i = 0; i < run.recorded.control_image_sha256.size(); ++i) {
    check_sha256(run, cat("--control-image ", i + 1), run.recorded.control_image_sha256[i],
                 run.inputs.control_image_sha256.at(i));
  }
  if (run.inputs.init_latents && run.inputs.init_latents->shape[0] > 1) {
    run.inputs.init_latents = one_of_latents(*run.inputs.init_latents, run.recorded.index);
    run.facts.first_index = static_cast<int>(run.recorded.index);
  }
}

/// Whether a picture's side is one that was asked for, or what a second pass makes of it: so many
/// times as much, less what does not make a whole latent.
bool is_shown(std::int64_t asked, int side, const std::optional<double>& scale) {
  constexpr double kMostLeftOut = 64;
  if (!scale) return asked == side;
  const double most = static_cast<double>(asked) * *scale;
  return side >= asked && side <= most && side > most - kMostLeftOut;
}

/// The recorded size must be the picture's own, so that no text asks for more than it shows. A side
/// that a model or a start picture brought need not be one that may be asked for.
void check_size(Replay& run) {
  Options& options = run.options;
  if (!run.recorded.own) return;
  if (!is_shown(*options.width, run.image.width, options.hires_scale) ||
      !is_shown(*options.height, run.image.height, options.hires_scale)) {
    throw Error::input(cat(run.name,
                           ": its settings: /request/width, /request/height: ", *options.width, "x",
                           *options.height, " is not the size of the picture, ", run.image.width,
                           "x", run.image.height));
  }
  constexpr std::int64_t kAskable = 8;
  if (*options.width % kAskable != 0) options.width.reset();
  if (*options.height % kAskable != 0) options.height.reset();
}

/// All that can be checked before a model is opened.
void prepare(Replay& run, const Options& command_line) {
  read_picture_again(run);
  run.options = command_line;
  fill_unset(run.options, run.recorded.options);
  check_size(run);
  check_given(run);
  take_controlnets(run);
  const std::vector<Problem> problems = check_options(run.options);
  if (!problems.empty()) {
    throw Error::input(cat(run.name, ": its settings: ", problems.front().message),
                       problems.front().hint);
  }
  take_additions(run);
  read_replay_inputs(run);
  if (!run.options.output) return;
  run.outputs = resolve_output_paths(
      {run.options.output, *run.options.seed, 1, run.options.overwrite.value_or(false)});
  check_output_folders(run.outputs);
}

/// Once a component, as its weights come in.
void warn_of_weights(Replay& run) {
  const auto here = weight_hashes(*run.components);
  for (const Compared& item : compare_maps(run.recorded.weights, here)) {
    if (!item.differs() || !run.told.insert(item.name).second) continue;
    warn(run, "other-weights",
         cat(item.name, ": these are not the weights it was made with: SHA-256 ", item.here,
             ", recorded ", item.recorded));
  }
  const std::string& hash = run.recorded.model_hash;
  constexpr std::size_t kHashDigits = 10;
  const bool known = hash.size() != kHashDigits ||
                     std::any_of(here.begin(), here.end(), [&](const auto& component) {
                       return component.second.starts_with(hash);
                     });
  if (!known && run.told.insert(hash).second) {
    warn(run, "other-weights",
         cat("the model's SHA-256 does not begin with ", escape_control(hash)));
  }
}

void open_model_again(Replay& run) {
  choose_recorded_model(run.options, run.recorded.model);
  const int first_index = run.facts.first_index;
  RunModel model = open_run_model(run.options, run.session);
  fill_defaults(run.options, model.defaults);
  run.components = std::move(model.components);
  run.facts = std::move(model.facts);
  run.facts.first_index = first_index;
  add_inputs(run.facts, run.inputs);
  if (!run.recorded.own) return;
  for (std::size_t i = 0; i < run.recorded.embeddings.size(); ++i) {
    check_sha256(run, cat("--embedding ", run.facts.embeddings.at(i).name),
                 run.recorded.embeddings[i].sha256, run.facts.embeddings.at(i).sha256);
  }
}

/// The LoRAs of a plan must be those that were recorded, the prompt's among them.
void check_loras(const Replay& run) {
  const std::vector<LoraUse>& here = run.facts.plan.loras;
  if (!run.recorded.own) return;
  if (here.size() != run.recorded.loras.size()) {
    throw Error::input(cat(run.name, ": its prompt names ", here.size(), " LoRAs, it records ",
                           run.recorded.loras.size()));
  }
  for (std::size_t i = 0; i < here.size(); ++i) {
    const LoraUse& recorded = run.recorded.loras[i];
    check_sha256(run, cat(recorded.from_prompt ? "<lora> " : "--lora ", here[i].name),
                 recorded.sha256, here[i].sha256);
  }
}

/// The plan, under the hash that the picture has where it is the same wish.
void plan_again(Replay& run, const Pipeline& pipeline, bool dtype_given) {
  run.facts.plan = pipeline.plan(make_request(run.options, run.inputs));
  check_loras(run);
  check_eta(run.facts.plan);
  const std::string asked = run.facts.asked_dtype;
  // The picture says which dtype it came to, not whether anyone asked for it.
  if (!dtype_given) run.facts.asked_dtype.clear();
  if (job_hash(run.facts, *run.options.seed) != run.recorded.job) run.facts.asked_dtype = asked;
  if (run.outputs.empty() || run.options.overwrite.value_or(false)) return;
  const std::string job = job_hash(run.facts, *run.options.seed);
  check_existing(run.outputs,
                 [&](std::size_t index) { return records_job(run.outputs[index].string(), job); });
}

ImageResult make_again(Replay& run, Pipeline& pipeline) {
  RunReport& report = run.session.report;
  ProgressMeter& progress = run.progress;
  std::optional<ImageResult> made;
  RunCallbacks callbacks;
  callbacks.on_stage = [&](RunStage stage) { progress.on_stage(stage); };
  callbacks.on_denoise_start = [&] {
    report.start_to_first_step_s = seconds_since_process_start();
    if (received_signal() != 0) throw stopped_by_signal(received_signal(), 0, 1);
    warn_of_weights(run);
  };
  callbacks.on_step = [&](const StepInfo& info) {
    progress.on_step(info);
    if (run.console.json) {
      run.console.event(step_event(info, progress.state().left_s, rss_bytes()));
    }
    return received_signal() == 0;
  };
  callbacks.on_image = [&](ImageResult&& result) { made = std::move(result); };
  const PictureCost cost = pipeline.picture_cost(run.facts.plan);
  progress.expect_loads(pipeline.parameter_counts());
  progress.begin({cost, cost, 1, 1, 0});
  progress.on_start(run.facts.model_name);
  try {
    pipeline.run(run.facts.plan, callbacks);
  } catch (...) {
    report.stages = pipeline.timings();
    report.failed = 1;
    if (received_signal() != 0) throw stopped_by_signal(received_signal(), 0, 1);
    throw;
  }
  progress.finish();
  report.stages = pipeline.timings();
  if (!made) throw Error::internal("the plan gave no picture");
  return *std::move(made);
}

void write_again(Replay& run, const ImageResult& result) {
  if (run.outputs.empty()) return;
  const bool replace = run.options.overwrite.value_or(false);
  PictureWriter writer(run.outputs, replace ? IfExists::kReplace : IfExists::kKeepIdentical, false);
  const WrittenPicture written =
      writer.write(result, encode_picture_file(result, run.facts, MetadataMode::kFull));
  ++run.session.report.images;
  run.progress.on_image(result, written.path);
  announce_picture(written, run.progress, run.console);
}

void compare(Replay& run, const ImageResult& result) {
  const ReplayReport report = compare_replay(run.recorded, picture_settings(run.facts, result),
                                             compare_pixels(run.image, result.image));
  run.console.event(replay_event(report, run.name));
  if (!report.first_difference().empty()) throw replay_error(report, run.name);
  run.console.info(cat(run.name, ": identical"));
}

}  // namespace

void replay(const std::string& image, const Options& command_line, Session& session) {
  if (image.empty()) throw Error::usage("no picture is named", "ldm-gen replay IMAGE.png");
  session.console.quiet = command_line.quiet.value_or(false);
  session.makes_pictures = true;
  Replay run(image, command_line, session);
  prepare(run, command_line);
  open_model_again(run);
  Pipeline pipeline(run.components);
  plan_again(run, pipeline, command_line.dtype.has_value());
  const ImageResult result = make_again(run, pipeline);
  run.facts.weights = weight_hashes(*run.components);
  warn_of_weights(run);
  write_again(run, result);
  compare(run, result);
}

}  // namespace ldm::app
