// ldm-train-autoencoder CONFIG.json [--resume]: learns an autoencoder from a folder of pictures.

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include <filesystem>

#include "ldm/app/main_guard.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/png.h"
#include "ldm/train/autoencoder_task.h"
#include "ldm/train/picture_source.h"
#include "ldm/train/sheet.h"
#include "ldm/train/start_model.h"
#include "train_program.h"

namespace {

using namespace ldm;
namespace fs = std::filesystem;

/// Originals above their reconstructions.
void write_sheet(const train::AutoencoderTask& task, const at::Tensor& originals,
                 const fs::path& folder, std::int64_t step) {
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  const at::Tensor both = at::cat({originals, task.reconstruct(originals)});
  write_file_atomic(
      folder / cat("step-", step, ".png"),
      std::span<const std::byte>(encode_png(train::make_sheet(both, originals.size(0)))),
      IfExists::kReplace);
}

train::RunResult run(const tools::TrainArguments& arguments, app::Session& session) {
  const train::RunConfig config = train::read_run_config(
      arguments.config, {"data", "model", "loss", "codebook", "perceptual", "discriminator"});
  const train::RunPlace place = train::find_place(config);
  train::PictureReader reader(config);
  const train::StartModel start = train::start_autoencoder(config);
  train::AutoencoderTask task(
      start.description, start.autoencoder, config, place,
      [&reader](train::SampleRange range) { return reader.patches(range); }, start.fine_tune);
  train::LoopCallbacks callbacks = tools::follow_run(config, place, arguments, session);
  constexpr std::int64_t kShown = 8;
  const at::Tensor shown =
      config.run.sample_every > 0 ? reader.pictures({0, kShown}) : at::Tensor();
  callbacks.sample = [&](std::int64_t step) {
    write_sheet(task, shown, fs::path(config.run.output_dir) / "samples", step);
  };
  const train::RunResult result = train::train(task, config, place, arguments.resume, callbacks);
  tools::list_skipped(config, reader.skipped());
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const tools::TrainProgram program{
      "ldm-train-autoencoder",
      "Trains an autoencoder (AutoencoderKL, VQModel) from a folder of pictures.", run};
  return app::main_guard(
      argc, argv,
      [&program](std::span<const std::string> args, app::Session& session) {
        tools::run_train_program(program, args, session);
      },
      program.name);
}
