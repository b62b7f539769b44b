// ldm-train-denoiser CONFIG.json [--resume]: learns a denoiser (and its text encoder) from
// captioned pictures in the latents of a frozen autoencoder.

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "ldm/core/text.h"
#include "ldm/loading/open.h"
#include "ldm/pipeline/image_tensor.h"
#include "ldm/pipeline/pipeline.h"
#include "ldm/train/denoiser_task.h"
#include "ldm/train/sheet.h"
#include "train_program.h"

namespace {

using namespace ldm;

/// A picture of each prompt, seeds 0, 1, …, on the run's device.
Image draw_samples(const train::DenoiserTask& task, const train::SamplesConfig& samples,
                   const train::RunPlace& place) {
  // The process' threads are set by how the run was started, and the run goes on with them.
  ExecutionRequest execution;
  execution.device = place.device.str();
  execution.threads = at::get_num_threads();
  Pipeline pipeline(open_components(task.model_files(), execution));
  std::vector<at::Tensor> pictures;
  for (const std::string& prompt : samples.prompts) {
    Request request;
    request.prompt = prompt;
    request.seed = pictures.size();
    request.num_inference_steps = static_cast<int>(samples.num_inference_steps);
    request.guidance_scale = samples.guidance_scale;
    RunCallbacks callbacks;
    callbacks.on_image = [&pictures](ImageResult&& result) {
      pictures.push_back(image_to_tensor(result.image));
    };
    pipeline.run(pipeline.plan(request), callbacks);
  }
  constexpr std::int64_t kColumns = 8;
  return train::make_sheet(at::cat(pictures),
                           std::min<std::int64_t>(kColumns, std::ssize(pictures)));
}

train::RunResult run(const tools::TrainArguments& arguments, app::Session& session) {
  const train::RunConfig config =
      train::read_run_config(arguments.config, {"data", "model", "denoising", "lora", "samples"});
  const train::RunPlace place = train::find_place(config);
  const auto folder = tools::take_run_folder(config, place);
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
  const auto samples = train::read_section<train::SamplesConfig>(config, "samples");
  if (!samples.prompts.empty()) {
    callbacks.sample = [&](std::int64_t step) {
      tools::write_sheet(config, step, draw_samples(task, samples, place));
    };
  }
  const train::RunResult result = train::train(task, config, place, arguments.resume, callbacks);
  tools::list_skipped(config, reader.skipped());
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  return tools::train_main(
      argc, argv,
      {"ldm-train-denoiser",
       "Trains a denoiser (UNet2DConditionModel, UNet2DModel) from captioned pictures.", run});
}
