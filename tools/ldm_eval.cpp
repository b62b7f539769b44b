// ldm-eval: how well an autoencoder keeps pictures, and how well generated ones follow prompts.

#include <CLI/CLI.hpp>

#include "eval_program.h"
#include "ldm/app/main_guard.h"
#include "ldm/app/tool_arguments.h"
#include "ldm/core/error.h"

namespace {

using Options = ldm::tools::EvalOptions;

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
  rec->add_option("--lpips-net", o.lpips_net, "vgg, alex or squeeze (alex)");
  rec->add_option("--lpips-lin", o.lpips_lin, "adds LPIPS: its published weightings, as ldm-lpips");
  rec->add_option("--lpips-backbone", o.lpips_backbone, "torchvision's weights of the network");
  rec->add_option("--lpips-weights", o.lpips_weights, "a file of ldm-lpips train instead");
  add_common(*rec, o);
  CLI::App* learn = app.add_subcommand("train-classifier", "make the judge of prompt following");
  learn->add_option("--data", o.data, "folder with the data sets train and heldout")->required();
  learn->add_option("-o,--output", o.output, "FILE.safetensors to write")->required();
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
  if (!ldm::app::parse_tool_arguments(app, args, session.console)) return;
  session.console.quiet = o.quiet;
  const std::string command = app.get_subcommands().front()->get_name();
  if (command == "reconstruction") ldm::tools::evaluate_reconstruction(o, session.console);
  if (command == "train-classifier") ldm::tools::make_classifier(o, session.console);
  if (command == "prompts") ldm::tools::evaluate_prompts(o, session.console);
}

}  // namespace

int main(int argc, char** argv) { return ldm::app::main_guard(argc, argv, evaluate, "ldm-eval"); }
