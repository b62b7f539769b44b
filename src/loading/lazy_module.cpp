#include "ldm/loading/lazy_module.h"

#include <chrono>
#include <future>
#include <utility>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/io/hash.h"
#include "ldm/nn/pack.h"

namespace ldm {
namespace {

/// The file's digest, or the digest of the shards' digests in order.
std::string hash_files(const TensorSource& files) {
  std::string all;
  for (const SourceFile& file : files.files()) all += sha256_file(file.path);
  if (files.files().size() == 1) return all;
  return sha256_hex(std::as_bytes(std::span(all)));
}

}  // namespace

LazyModule::LazyModule(std::shared_ptr<torch::nn::Module> module, const ComponentFiles& files,
                       const Execution& execution, LoadObserver on_load)
    : module_(std::move(module)),
      files_(&files),
      execution_(execution),
      on_load_(std::move(on_load)),
      binding_(bind_weights(*module_, *files.weights, key_map(files.class_name))) {}

void LazyModule::load() {
  if (loaded_) return;
  const auto start = std::chrono::steady_clock::now();
  std::future<std::string> hash;
  if (sha256_.empty()) {
    hash = std::async(std::launch::async, [this] { return hash_files(*files_->weights); });
  }
  Execution execution = execution_;
  // Packing chooses the layout of convolutions on a CPU; rearranging them before is wasted.
  if (execution.device.is_cpu()) execution.memory_format = c10::MemoryFormat::Contiguous;
  try {
    load_weights(*module_, *files_->weights, binding_, execution);
  } catch (Error& error) {
    throw error.with_context("loading " + files_->name);
  }
  if (execution_.device.is_cpu()) nn::pack_for_inference(*module_);
  loaded_ = true;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (hash.valid()) sha256_ = hash.get();
  if (on_load_) on_load_({files_->name, seconds.count(), sha256_});
}

void LazyModule::release() {
  if (!loaded_) return;
  nn::unpack(*module_);
  unload_weights(*module_);
  release_freed_memory();
  loaded_ = false;
}

void LazyModule::reload_as(c10::ScalarType dtype) {
  release();
  execution_.dtype = dtype;
  load();
}

}  // namespace ldm
