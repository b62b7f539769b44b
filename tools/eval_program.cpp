#include "eval_program.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/lpips_files.h"
#include "ldm/loading/single_file.h"
#include "ldm/pipeline/picture_coder.h"
#include "ldm/train/classifier_trainer.h"
#include "ldm/train/image_metrics.h"

namespace ldm::tools {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string fixed(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

/// LPIPS where the options name its weights.
models::LPIPS open_lpips(const EvalOptions& o) {
  if (o.lpips_lin.empty() && o.lpips_backbone.empty() && o.lpips_weights.empty()) return nullptr;
  return load_lpips(
      {models::parse_perceptual_net(o.lpips_net), o.lpips_lin, o.lpips_backbone, o.lpips_weights});
}

/// Sums over pictures.
struct Distances {
  double psnr = 0;
  double ssim = 0;
  double lpips = 0;
};

void compare(const train::Example& example, const Image& again, const models::LPIPS& lpips,
             Distances& sums) {
  const Image& picture = example.picture;
  if (again.width != picture.width || again.height != picture.height) {
    throw Error::input(
        cat(example.name, ": ", picture.width, "x", picture.height,
            " pixels, of which the autoencoder makes ", again.width, "x", again.height),
        "cut the pictures to sides that it divides");
  }
  const at::Tensor a = train::picture_tensor(picture).unsqueeze(0);
  const at::Tensor b = train::picture_tensor(again).unsqueeze(0);
  sums.psnr += train::psnr(a, b)[0].item<double>();
  sums.ssim += train::ssim(a, b)[0].item<double>();
  if (lpips) sums.lpips += lpips->forward(a, b)[0].item<double>();
}

}  // namespace

std::string percent(double part) { return fixed(100 * part, 1) + " %"; }

void show_progress(const std::string& line, app::Console& console) {
  if (console.stderr_is_terminal() && !console.quiet && !console.json) console.live(line);
}

ExecutionRequest execution_of(const EvalOptions& o) {
  ExecutionRequest request;
  request.threads = o.threads;
  return request;
}

void evaluate_reconstruction(const EvalOptions& o, app::Console& console) {
  const at::NoGradGuard no_grad;
  const auto dataset = train::open_dataset(o.data, {.captions = false});
  const models::LPIPS lpips = open_lpips(o);
  PictureCoder coder(open_vae_file(find_model(o.vae)), execution_of(o));
  const std::int64_t count = o.limit > 0 ? std::min(o.limit, dataset->size()) : dataset->size();
  Distances sums;
  for (std::int64_t i = 0; i < count; ++i) {
    const train::Example example = dataset->read(i);
    const LatentsData latents = coder.encode(example.picture, std::nullopt, VaeTiling::kAuto);
    compare(example, coder.decode(latents, 0, VaeTiling::kAuto), lpips, sums);
    show_progress(cat(i + 1, " of ", count), console);
  }
  show_progress({}, console);
  const auto n = static_cast<double>(count);
  ordered_json event = {{"event", "reconstruction"},
                        {"schema", 1},
                        {"pictures", count},
                        {"psnr", sums.psnr / n},
                        {"ssim", sums.ssim / n}};
  if (lpips) event["lpips"] = sums.lpips / n;
  console.event(event);
  if (console.json) return;
  console.result(cat("pictures ", count));
  console.result(cat("PSNR     ", fixed(sums.psnr / n, 2), " dB"));
  console.result(cat("SSIM     ", fixed(sums.ssim / n, 4)));
  if (lpips) console.result(cat("LPIPS    ", fixed(sums.lpips / n, 4), " (", o.lpips_net, ")"));
}

ordered_json as_json(const train::AttributeAccuracy& accuracy) {
  return {{"pictures", accuracy.pictures},
          {"object", accuracy.object},
          {"background", accuracy.background},
          {"border_background", accuracy.border},
          {"count", accuracy.count}};
}

void show(const train::AttributeAccuracy& accuracy, app::Console& console) {
  if (console.json) return;
  console.result(cat("pictures   ", accuracy.pictures));
  console.result(cat("object     ", percent(accuracy.object)));
  console.result(cat("background ", percent(accuracy.background), " (by the border's colour ",
                     percent(accuracy.border), ")"));
  console.result(cat("count      ", percent(accuracy.count)));
}

void make_classifier(const EvalOptions& o, app::Console& console) {
  check_output_folder(fs::path(o.output).parent_path());
  const IfExists if_exists = o.overwrite ? IfExists::kReplace : IfExists::kKeepIdentical;
  if (!o.overwrite && fs::exists(o.output)) {
    throw Error::output(o.output + ": exists already", "add --overwrite");
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
        console.event({{"event", "train_step"},
                       {"schema", 1},
                       {"step", step + 1},
                       {"of", training.steps},
                       {"metrics", {{"loss", sum / kShown}}}});
        sum = 0;
      });
  classifier.accuracy = train::measure_accuracy(classifier, *held_out, o.limit);
  train::save_classifier(o.output, classifier, if_exists);
  console.event({{"event", "classifier"},
                 {"schema", 1},
                 {"path", o.output},
                 {"heldout", as_json(classifier.accuracy)}});
  show(classifier.accuracy, console);
}

}  // namespace ldm::tools
