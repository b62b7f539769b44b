// ldm-train-autoencoder CONFIG.json [--resume]: learns an autoencoder from a folder of pictures.

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include "ldm/train/autoencoder_task.h"
#include "ldm/train/picture_source.h"
#include "ldm/train/sheet.h"
#include "ldm/train/start_model.h"
#include "train_program.h"

namespace {

using namespace ldm;

train::RunResult run(const tools::TrainArguments& arguments, app::Session& session) {
  const train::RunConfig config = train::read_run_config(
      arguments.config, {"data", "model", "loss", "codebook", "perceptual", "discriminator"});
  const train::RunPlace place = train::find_place(config);
  const auto folder = tools::take_run_folder(config, place);
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
    // Originals above their reconstructions.
    const at::Tensor both = at::cat({shown, task.reconstruct(shown)});
    tools::write_sheet(config, step, train::make_sheet(both, kShown));
  };
  const train::RunResult result = train::train(task, config, place, arguments.resume, callbacks);
  tools::list_skipped(config, reader.skipped());
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  return tools::train_main(
      argc, argv,
      {"ldm-train-autoencoder",
       "Trains an autoencoder (AutoencoderKL, VQModel) from a folder of pictures.", run});
}
