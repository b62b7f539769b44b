// ldm-eval: how well an autoencoder keeps pictures, and how well generated ones follow prompts.

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "ldm/app/main_guard.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/png.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/loading/single_file.h"
#include "ldm/pipeline/picture_coder.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/train/classifier_trainer.h"
#include "ldm/train/image_metrics.h"
#include "ldm/train/prompt_scores.h"

namespace {

using ldm::cat;
using nlohmann::ordered_json;
namespace fs = std::filesystem;
namespace train = ldm::train;

struct Options {
  std::string data;
  std::string vae;
  std::string out;
  std::string images;
  std::string model;
  std::string prompts;
  std::string classifier;
  std::string save;
  std::string sampler = "ddim";
  std::optional<double> guidance_scale;
  std::int64_t limit = 0;
  std::int64_t steps = 0;
  std::int64_t seed = 0;
  int threads = 0;
  bool overwrite = false;
  bool json = false;
  bool quiet = false;
};

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}
std::string percent(double part) { return fixed(100 * part, 1) + " %"; }

ldm::ExecutionRequest execution(const Options& o) {
  ldm::ExecutionRequest request;
  request.threads = o.threads;
  return request;
}

// ---- reconstruction

void reconstruction(const Options& o, ldm::app::Console& console) {
  const auto dataset = train::open_dataset(o.data, {.captions = false});
  ldm::PictureCoder coder(ldm::open_vae_file(ldm::find_model(o.vae)), execution(o));
  const std::int64_t count = o.limit > 0 ? std::min(o.limit, dataset->size()) : dataset->size();
  double psnr = 0;
  double ssim = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const ldm::Image picture = dataset->read(i).picture;
    const ldm::LatentsData latents = coder.encode(picture, std::nullopt, ldm::VaeTiling::kAuto);
    const ldm::Image again = coder.decode(latents, 0, ldm::VaeTiling::kAuto);
    const at::Tensor a = train::picture_tensor(picture).unsqueeze(0);
    const at::Tensor b = train::picture_tensor(again).unsqueeze(0);
    psnr += train::psnr(a, b)[0].item<double>();
    ssim += train::ssim(a, b)[0].item<double>();
    if (i % 10 == 9) console.live(cat(i + 1, " of ", count));
  }
  console.live("");
  psnr /= static_cast<double>(count);
  ssim /= static_cast<double>(count);
  console.event({{"event", "reconstruction"},
                 {"schema", 1},
                 {"pictures", count},
                 {"psnr", psnr},
                 {"ssim", ssim}});
  if (console.json) return;
  console.result(cat("pictures ", count));
  console.result(cat("PSNR     ", fixed(psnr, 2), " dB"));
  console.result(cat("SSIM     ", fixed(ssim, 4)));
}

// ---- train-classifier

ordered_json as_json(const train::AttributeAccuracy& accuracy) {
  return {{"pictures", accuracy.pictures},
          {"object", accuracy.object},
          {"background", accuracy.background},
          {"border_background", accuracy.border},
          {"count", accuracy.count}};
}

void show(const train::AttributeAccuracy& accuracy, ldm::app::Console& console) {
  if (console.json) return;
  console.result(cat("pictures   ", accuracy.pictures));
  console.result(cat("object     ", percent(accuracy.object)));
  console.result(cat("background ", percent(accuracy.background), " (by the border's colour ",
                     percent(accuracy.border), ")"));
  console.result(cat("count      ", percent(accuracy.count)));
}

void train_classifier(const Options& o, ldm::app::Console& console) {
  ldm::check_output_folder(fs::path(o.out).parent_path());
  const ldm::IfExists if_exists =
      o.overwrite ? ldm::IfExists::kReplace : ldm::IfExists::kKeepIdentical;
  if (!o.overwrite && fs::exists(o.out)) {
    throw ldm::Error::output(o.out + ": exists already", "add --overwrite");
  }
  const auto learned = train::open_dataset(fs::path(o.data) / "train");
  const auto held_out = train::open_dataset(fs::path(o.data) / "heldout");
  train::ClassifierTraining training;
  if (o.steps > 0) training.steps = o.steps;
  training.seed = static_cast<std::uint64_t>(o.seed);
  double sum = 0;
  constexpr std::int64_t kShown = 100;
  train::Classifier classifier =
      train::train_classifier(*learned, training, [&](std::int64_t step, double loss) {
        sum += loss;
        if ((step + 1) % kShown != 0) return;
        console.info(
            cat("step ", step + 1, " of ", training.steps, ", loss ", fixed(sum / kShown, 4)));
        console.event({{"event", "step"}, {"step", step + 1}, {"loss", sum / kShown}});
        sum = 0;
      });
  classifier.accuracy = train::measure_accuracy(classifier, *held_out, o.limit);
  train::save_classifier(o.out, classifier, if_exists);
  console.event({{"event", "classifier"},
                 {"schema", 1},
                 {"path", o.out},
                 {"heldout", as_json(classifier.accuracy)}});
  show(classifier.accuracy, console);
}

// ---- prompts

/// Pictures by prompt: ID.png where the first prompt has one, otherwise in the order of names.
std::vector<fs::path> find_pictures(const fs::path& folder,
                                    const std::vector<train::PromptCase>& cases) {
  std::vector<fs::path> found;
  if (fs::exists(folder / (cases.front().id + ".png"))) {
    for (const train::PromptCase& item : cases) found.push_back(folder / (item.id + ".png"));
    return found;
  }
  const auto dataset = train::open_dataset(folder, {.captions = false});
  for (std::int64_t i = 0; i < dataset->size(); ++i) found.emplace_back(dataset->name(i));
  if (found.size() != cases.size()) {
    throw ldm::Error::input(
        cat(folder.string(), ": ", found.size(), " pictures for ", cases.size(), " prompts"),
        "name them ID.png, or make one for each prompt in their order");
  }
  return found;
}

/// Generates the picture of one prompt after another.
class Generator {
 public:
  explicit Generator(const Options& o)
      : options_(o),
        files_(ldm::open_model(ldm::find_model(o.model))),
        components_(ldm::open_components(files_, execution(o))),
        pipeline_(components_) {}

  ldm::Image picture(const train::PromptCase& item) {
    ldm::Request request;
    request.prompt = item.prompt;
    request.seed = static_cast<std::uint64_t>(options_.seed);
    request.sampler = options_.sampler;
    if (options_.steps > 0) request.num_inference_steps = static_cast<int>(options_.steps);
    if (files_.defaults.guidance_scale) request.guidance_scale = *files_.defaults.guidance_scale;
    if (options_.guidance_scale) request.guidance_scale = *options_.guidance_scale;
    ldm::Image made;
    ldm::RunCallbacks callbacks;
    callbacks.on_image = [&made](ldm::ImageResult&& result) { made = std::move(result.image); };
    pipeline_.run(pipeline_.plan(request), callbacks);
    return made;
  }

 private:
  const Options& options_;
  ldm::ModelFiles files_;
  std::shared_ptr<ldm::Components> components_;
  ldm::Pipeline pipeline_;
};

void keep(const ldm::Image& picture, const Options& o, const std::string& id) {
  if (o.save.empty()) return;
  fs::create_directories(o.save);
  ldm::write_file_atomic(fs::path(o.save) / (id + ".png"), ldm::encode_png(picture),
                         ldm::IfExists::kReplace);
}

train::PromptScores score(const Options& o, const train::Classifier& classifier,
                          ldm::app::Console& console) {
  const auto cases = train::spread(train::read_prompts(o.prompts), o.limit);
  std::optional<Generator> generator;
  std::vector<fs::path> paths;
  if (o.images.empty()) {
    generator.emplace(o);
  } else {
    paths = find_pictures(o.images, cases);
  }
  train::PromptScores scores;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::vector<ldm::Image> pictures = {generator ? generator->picture(cases[i])
                                                        : ldm::load_image(paths[i])};
    if (generator) keep(pictures[0], o, cases[i].id);
    scores.add(cases[i], classifier.classify(pictures)[0], classifier.names);
    console.live(cat(i + 1, " of ", cases.size(), ", objects ", percent(scores.accuracy().object)));
  }
  console.live("");
  return scores;
}

ordered_json as_json(const train::PromptMiss& miss) {
  return {{"id", miss.wanted.id},
          {"prompt", miss.wanted.prompt},
          {"object", miss.seen.attributes.object},
          {"object_probability", miss.seen.object_probability},
          {"background", miss.seen.attributes.background},
          {"border_background", miss.seen.border_background},
          {"count", miss.seen.attributes.count}};
}

void prompts(const Options& o, ldm::app::Console& console) {
  if (o.images.empty() == o.model.empty()) {
    throw ldm::Error::usage("expected either --images or --model",
                            "ldm-eval prompts --help shows both ways");
  }
  const train::Classifier classifier = train::load_classifier(o.classifier);
  const train::PromptScores scores = score(o, classifier, console);
  ordered_json worst = ordered_json::array();
  std::vector<std::string> words;
  for (const train::ObjectScore& item : scores.worst()) {
    worst.push_back({{"object", item.object}, {"right", item.right}, {"total", item.total}});
    words.push_back(cat(item.object, " ", item.right, "/", item.total));
  }
  ordered_json misses = ordered_json::array();
  for (const train::PromptMiss& miss : scores.misses()) misses.push_back(as_json(miss));
  console.event({{"event", "prompts"},
                 {"schema", 1},
                 {"scores", as_json(scores.accuracy())},
                 {"all", scores.all()},
                 {"classifier", as_json(classifier.accuracy)},
                 {"worst", worst},
                 {"misses", misses}});
  show(scores.accuracy(), console);
  if (console.json) return;
  console.result(cat("all three  ", percent(scores.all())));
  if (!words.empty()) console.result(cat("missed: ", ldm::join(words, ", ", 20)));
  console.info(cat("the classifier itself is right about ", percent(classifier.accuracy.object),
                   " of objects in ", classifier.accuracy.pictures, " real held-out pictures"));
}

// ---- command line

void add_common(CLI::App& command, Options& o) {
  command.add_option("--limit", o.limit, "only so many pictures (0: all)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--threads", o.threads, "CPU threads of the model (0: one a core)")
      ->check(CLI::NonNegativeNumber);
  command.add_flag("--json", o.json, "results as JSON, one object a line");
  command.add_flag("--quiet", o.quiet, "no information lines");
}

void add_commands(CLI::App& app, Options& o) {
  app.require_subcommand(1);
  CLI::App* rec = app.add_subcommand("reconstruction", "PSNR and SSIM of an autoencoder");
  rec->add_option("--vae", o.vae, "autoencoder, or a model with one")->required();
  rec->add_option("--data", o.data, "data set of pictures")->required();
  add_common(*rec, o);
  CLI::App* learn = app.add_subcommand("train-classifier", "make the judge of prompt following");
  learn->add_option("--data", o.data, "folder with the data sets train and heldout")->required();
  learn->add_option("-o,--output", o.out, "FILE.safetensors to write")->required();
  learn->add_option("--steps", o.steps, "of 64 pictures each (1500)")->check(CLI::PositiveNumber);
  learn->add_option("--seed", o.seed, "of weights and order (0)")->check(CLI::NonNegativeNumber);
  learn->add_flag("--overwrite", o.overwrite, "replace the file");
  add_common(*learn, o);
  CLI::App* follow = app.add_subcommand("prompts", "how well pictures follow their prompts");
  follow->add_option("--prompts", o.prompts, "prompts.jsonl of the data set")->required();
  follow->add_option("--classifier", o.classifier, "file of train-classifier")->required();
  follow->add_option("--images", o.images, "folder of made pictures: ID.png, or in their order");
  follow->add_option("--model", o.model, "model to make the pictures with");
  follow->add_option("--steps", o.steps, "of the sampler (30)")->check(CLI::PositiveNumber);
  follow->add_option("--sampler", o.sampler, "as ldm-gen's (ddim)");
  follow->add_option("-g,--guidance-scale", o.guidance_scale, "(the model's, else 7.5)");
  follow->add_option("-s,--seed", o.seed, "of every picture (0)")->check(CLI::NonNegativeNumber);
  follow->add_option("--save", o.save, "folder to keep the made pictures in");
  add_common(*follow, o);
}

void evaluate(std::span<const std::string> args, ldm::app::Session& session) {
  Options o;
  CLI::App app("Measures autoencoders, and how well pictures follow their prompts.", "ldm-eval");
  add_commands(app, o);
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    session.console.result(chosen.empty() ? app.help() : chosen.front()->help());
    return;
  } catch (const CLI::ParseError& error) {
    throw ldm::Error::usage(error.what(), "see ldm-eval --help");
  }
  session.console.quiet = o.quiet;
  const std::string command = app.get_subcommands().front()->get_name();
  if (command == "reconstruction") reconstruction(o, session.console);
  if (command == "train-classifier") train_classifier(o, session.console);
  if (command == "prompts") prompts(o, session.console);
}

}  // namespace

int main(int argc, char** argv) { return ldm::app::main_guard(argc, argv, evaluate, "ldm-eval"); }
