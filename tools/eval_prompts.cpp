#include "eval_program.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/png.h"
#include "ldm/loading/components.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/train/prompt_scores.h"

namespace ldm::tools {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

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
    throw Error::input(
        cat(folder.string(), ": ", found.size(), " pictures for ", cases.size(), " prompts"),
        "name them ID.png, or make one for each prompt in their order");
  }
  return found;
}

/// Generates the picture of one prompt after another.
class Generator {
 public:
  explicit Generator(const EvalOptions& o)
      : options_(o),
        files_(open_model(find_model(o.model))),
        components_(open_components(files_, execution_of(o))),
        pipeline_(components_) {}

  Image picture(const train::PromptCase& item) {
    Request request;
    request.prompt = item.prompt;
    request.seed = static_cast<std::uint64_t>(options_.seed);
    request.sampler = options_.sampler;
    if (options_.steps > 0) request.num_inference_steps = static_cast<int>(options_.steps);
    if (files_.defaults.guidance_scale) request.guidance_scale = *files_.defaults.guidance_scale;
    if (options_.guidance_scale) request.guidance_scale = *options_.guidance_scale;
    Image made;
    RunCallbacks callbacks;
    callbacks.on_image = [&made](ImageResult&& result) { made = std::move(result.image); };
    pipeline_.run(pipeline_.plan(request), callbacks);
    return made;
  }

 private:
  const EvalOptions& options_;
  ModelFiles files_;
  std::shared_ptr<Components> components_;
  Pipeline pipeline_;
};

void keep(const Image& picture, const EvalOptions& o, const std::string& id) {
  if (o.save.empty()) return;
  fs::create_directories(o.save);
  write_file_atomic(fs::path(o.save) / (id + ".png"), encode_png(picture), IfExists::kReplace);
}

train::PromptScores score(const EvalOptions& o, const train::Classifier& classifier,
                          app::Console& console) {
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
    const std::vector<Image> pictures = {generator ? generator->picture(cases[i])
                                                   : load_image(paths[i])};
    if (generator) keep(pictures[0], o, cases[i].id);
    scores.add(cases[i], classifier.classify(pictures)[0], classifier.names);
    show_progress(cat(i + 1, " of ", cases.size(), ", objects ", percent(scores.accuracy().object)),
                  console);
  }
  show_progress({}, console);
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

}  // namespace

void evaluate_prompts(const EvalOptions& o, app::Console& console) {
  if (o.images.empty() == o.model.empty()) {
    throw Error::usage("expected either --images or --model",
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
  if (!words.empty()) console.result(cat("missed: ", join(words, ", ", 20)));
  console.info(cat("the classifier itself is right about ", percent(classifier.accuracy.object),
                   " of objects in ", classifier.accuracy.pictures, " real held-out pictures"));
}

}  // namespace ldm::tools
