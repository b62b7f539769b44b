#include "ldm/loading/lazy_module.h"

#include <chrono>
#include <utility>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/nn/pack.h"

namespace ldm {
namespace {

/// Frees whatever weights there are, also those of a load that failed half way.
void let_go(torch::nn::Module& module) {
  nn::unpack(module);
  unload_weights(module);
  release_freed_memory();
}

}  // namespace

LazyModule::LazyModule(std::shared_ptr<torch::nn::Module> module, const ComponentFiles& files,
                       const Execution& execution, LoadContext context)
    : module_(std::move(module)),
      files_(&files),
      execution_(execution),
      context_(std::move(context)),
      binding_(bind_weights(*module_, *files.weights, key_map(files.class_name))) {
  for (const at::Tensor& parameter : module_->parameters()) parameter_count_ += parameter.numel();
}

void LazyModule::load() {
  if (loaded_) return;
  const auto start = std::chrono::steady_clock::now();
  const std::vector<SourceFile> files = files_->weights->files();
  context_.digests->start(files);
  Execution execution = execution_;
  // Packing chooses the layout of convolutions on a CPU; rearranging them before is wasted.
  if (execution.device.is_cpu()) execution.memory_format = c10::MemoryFormat::Contiguous;
  FilesVerdict verdict;
  try {
    const bool own_hashes = load_weights(*module_, *files_->weights, binding_, execution, updates_);
    verdict = judge_files(files, *context_.digests, own_hashes);
    if (execution_.device.is_cpu()) nn::pack_for_inference(*module_);
  } catch (Error& error) {
    let_go(*module_);
    throw error.with_context("loading " + files_->name);
  } catch (...) {
    let_go(*module_);
    throw;
  }
  loaded_ = true;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  sha256_ = verdict.sha256;
  if (context_.on_load) {
    context_.on_load({files_->name, seconds.count(), sha256_, verdict.integrity});
  }
}

void LazyModule::release() {
  if (!loaded_) return;
  loaded_ = false;
  let_go(*module_);
}

void LazyModule::reload_as(c10::ScalarType dtype) {
  release();
  execution_.dtype = dtype;
  load();
}

}  // namespace ldm
