// ldm-lpips A B: the perceptual distance of two pictures; train and eval: of sets of judgements.

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <CLI/CLI.hpp>
#include <iomanip>
#include <sstream>

#include "ldm/app/main_guard.h"
#include "ldm/app/tool_arguments.h"
#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/image.h"
#include "ldm/io/png.h"
#include "ldm/loading/lpips_files.h"
#include "ldm/nn/init.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/train/lpips_scores.h"
#include "ldm/train/lpips_trainer.h"

namespace {

using ldm::cat;
using ldm::Error;
using ldm::app::Console;
namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> pictures;
  std::string net = "alex";
  std::string lin, backbone, weights, spatial;
  std::string mode, data, output;
  std::string score;
  ldm::train::LpipsTrainConfig run;
  int threads = 0;
  bool no_dropout = false;
  bool overwrite = false;
  bool quiet = false;
};

std::string number(double value, int digits) {
  std::ostringstream out;
  out << std::setprecision(digits) << value;
  return out.str();
}

ldm::LpipsFiles files_of(const Options& o) {
  return {ldm::models::parse_perceptual_net(o.net), o.lin, o.backbone, o.weights};
}

void add_files(CLI::App& app, Options& o) {
  app.add_option("--net", o.net, "vgg, alex or squeeze")->capture_default_str();
  app.add_option("--lin", o.lin, "weightings: weights/v0.1/NET.pth of the PyPI package lpips");
  app.add_option("--backbone", o.backbone, "torchvision's weights of the network");
  app.add_option("--weights", o.weights, "a file of ldm-lpips train instead");
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("PICTURES", o.pictures, "two pictures of one size");
  add_files(app, o);
  app.add_option("--spatial", o.spatial, "write the distance at each pixel as a picture");
  app.add_option("--threads", o.threads, "CPU threads; 0: one a core")->check(CLI::Range(0, 1024));
  app.add_flag("--quiet", o.quiet, "no information lines");
  app.require_subcommand(0, 1);
  app.fallthrough();

  CLI::App& train = *app.add_subcommand("train", "learn from judgements of distorted pictures");
  add_files(train, o);
  train.add_option("--mode", o.mode, "lin, tune or scratch")->required();
  train.add_option("--data", o.data, "folder of ref/ p0/ p1/ judge/")->required();
  train.add_option("-o,--output", o.output, "FILE.safetensors")->required();
  train.add_option("--lr", o.run.lr, "Adam's step")->capture_default_str();
  train.add_option("--epochs", o.run.epochs, "at that rate")->capture_default_str();
  train.add_option("--epochs-decay", o.run.epochs_decay, "then falling")->capture_default_str();
  train.add_option("--batch-size", o.run.batch_size, "triplets a step")->capture_default_str();
  train.add_option("--seed", o.run.seed, "of weights, order and dropout")->capture_default_str();
  train.add_flag("--no-dropout", o.no_dropout, "train without dropout");
  train.add_flag("--overwrite", o.overwrite, "replace the output");

  CLI::App& eval = *app.add_subcommand("eval", "score against judgements");
  add_files(eval, o);
  eval.add_option("SCORE", o.score, "2afc or jnd")
      ->required()
      ->check(CLI::IsMember({"2afc", "jnd"}));
  eval.add_option("--data", o.data, "folder of the set")->required();
  eval.add_option("--batch-size", o.run.batch_size, "items at a time")->capture_default_str();
  for (CLI::App* sub : {&train, &eval}) {
    sub->add_option("--load-size", o.run.load_size, "pixels a side to resize to; 0: as they are")
        ->capture_default_str();
  }
}

void check_run(const Options& o) {
  const auto& run = o.run;
  if (run.batch_size < 1 || run.load_size < 0 || run.epochs < 0 || run.epochs_decay < 0 ||
      run.epochs + run.epochs_decay < 1 || !(run.lr > 0)) {
    throw Error::usage(
        "--lr, --batch-size and the epochs' sum must be above zero, "
        "--load-size not below");
  }
}

/// The distances as grey, the largest white.
void write_map(const at::Tensor& map, const fs::path& path) {
  const at::Tensor unit = map / map.max().clamp_min(1e-12);
  const ldm::Image image = ldm::tensor_to_image(unit.expand({1, 3, -1, -1}) * 2 - 1);
  ldm::write_file_atomic(path, ldm::encode_png(image), ldm::IfExists::kReplace);
}

void compare(const Options& o, Console& console) {
  if (o.pictures.size() != 2) {
    throw Error::usage("expected two pictures", "ldm-lpips A.png B.png --lin … --backbone …");
  }
  const ldm::models::LPIPS lpips = ldm::load_lpips(files_of(o));
  const at::NoGradGuard no_grad;
  const at::Tensor a = ldm::image_to_tensor(ldm::load_image(o.pictures[0]));
  const at::Tensor b = ldm::image_to_tensor(ldm::load_image(o.pictures[1]));
  console.result(number(lpips->forward(a, b).item<double>(), 7));
  if (!o.spatial.empty()) write_map(lpips->forward_map(a, b), o.spatial);
}

void train(Options& o, Console& console) {
  check_run(o);
  o.run.mode = ldm::train::parse_lpips_mode(o.mode);
  o.run.dropout = !o.no_dropout;
  const bool scratch = o.run.mode == ldm::train::LpipsMode::kScratch;
  if (!o.output.ends_with(".safetensors")) {
    throw Error::usage(cat("-o: ", o.output, " does not end in .safetensors"));
  }
  ldm::check_output_folder(fs::path(o.output).parent_path());
  if (!o.overwrite && fs::exists(o.output)) {
    throw Error::output(cat(o.output, " exists"), "give another name, or --overwrite");
  }
  ldm::models::LPIPS lpips{nullptr};
  ldm::models::RankingNet ranking;
  if (!o.weights.empty()) {
    lpips = ldm::load_lpips(files_of(o));
    if (ldm::inspect_lpips_file(o.weights).has_ranking) ranking = ldm::load_ranking(o.weights);
  } else {
    lpips = ldm::models::LPIPS(ldm::models::parse_perceptual_net(o.net));
    if (!scratch) ldm::load_lpips_backbone(lpips, o.backbone);
    ldm::models::initialize_lpips(*lpips, o.run.seed);
  }
  ldm::nn::initialize(*ranking, o.run.seed);
  const ldm::train::TwoAfcData data(o.data, o.run.load_size);
  console.info(cat(data.size(), " judgements, ", o.mode, " with ",
                   ldm::models::perceptual_net_name(lpips->net->net)));
  ldm::train::train_lpips(o.run, data, lpips, ranking, [&](const ldm::train::LpipsEpoch& epoch) {
    console.info(cat("epoch ", epoch.number, "/", epoch.of, ": loss ", number(epoch.loss, 5),
                     ", agreement ", number(100 * epoch.accuracy, 4), " %",
                     epoch.skipped > 0 ? cat(", ", epoch.skipped, " steps skipped") : ""));
  });
  const bool with_backbone =
      o.run.mode != ldm::train::LpipsMode::kLin ||
      (!o.weights.empty() && ldm::inspect_lpips_file(o.weights).has_backbone);
  ldm::save_lpips(o.output, lpips, ranking, with_backbone, o.mode, o.overwrite);
  console.result(o.output);
}

void evaluate(const Options& o, Console& console) {
  check_run(o);
  const ldm::models::LPIPS lpips = ldm::load_lpips(files_of(o));
  const fs::path folder = o.data;
  const std::int64_t size = o.run.load_size;
  const std::int64_t batch = o.run.batch_size;
  const double score =
      o.score == "2afc"
          ? ldm::train::evaluate_2afc(lpips, ldm::train::TwoAfcData(folder, size), batch)
          : ldm::train::evaluate_jnd(lpips, ldm::train::JndData(folder, size), batch);
  console.result(cat(o.score, " ", number(score, 6)));
}

void run(std::span<const std::string> args, ldm::app::Session& session) {
  Options o;
  CLI::App app("Compares pictures as people see them (LPIPS), learns to, and is scored.",
               "ldm-lpips");
  add_options(app, o);
  if (!ldm::app::parse_tool_arguments(app, args, session.console)) return;
  session.console.quiet = o.quiet;
  ldm::set_cpu_threads(o.threads);
  if (app.got_subcommand("train")) {
    train(o, session.console);
  } else if (app.got_subcommand("eval")) {
    evaluate(o, session.console);
  } else {
    compare(o, session.console);
  }
}

}  // namespace

int main(int argc, char** argv) { return ldm::app::main_guard(argc, argv, run, "ldm-lpips"); }
