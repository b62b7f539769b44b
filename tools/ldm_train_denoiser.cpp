// ldm-train-denoiser CONFIG.json [--resume]: learns a denoiser (and its text encoder) from
// captioned pictures in the latents of a frozen autoencoder.

#include <filesystem>
#include <memory>

#include "ldm/app/main_guard.h"
#include "ldm/core/text.h"
#include "ldm/train/denoiser_task.h"
#include "train_program.h"

namespace {

using namespace ldm;

train::RunResult run(const tools::TrainArguments& arguments, app::Session& session) {
  const train::RunConfig config =
      train::read_run_config(arguments.config, {"data", "model", "denoising", "lora"});
  const train::RunPlace place = train::find_place(config);
  train::DenoiserModel model = train::start_denoiser(config);
  train::LoopCallbacks callbacks = tools::follow_run(config, place, arguments, session);
  constexpr std::int64_t kEvery = 2048;
  train::LatentReader reader(config, model, place, [&](std::int64_t done, std::int64_t of) {
    if (done % kEvery == 0 || done == of) {
      session.console.info(cat("encoded ", done, "/", of, " pictures"));
    }
  });
  train::DenoiserTask task(std::move(model), config, place,
                           [&reader](train::SampleRange range) { return reader.batch(range); });
  const train::RunResult result = train::train(task, config, place, arguments.resume, callbacks);
  tools::list_skipped(config, reader.skipped());
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const tools::TrainProgram program{
      "ldm-train-denoiser",
      "Trains a denoiser (UNet2DConditionModel, UNet2DModel) from captioned pictures.", run};
  return app::main_guard(
      argc, argv,
      [&program](std::span<const std::string> args, app::Session& session) {
        tools::run_train_program(program, args, session);
      },
      program.name);
}
