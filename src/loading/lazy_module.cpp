#include "ldm/loading/lazy_module.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/stopwatch.h"
#include "ldm/core/text.h"
#include "ldm/kernels/parallel.h"
#include "ldm/nn/pack.h"
#include "ldm/nn/streamed.h"

namespace ldm {
namespace {

/// Parameters that are loaded before they are packed.
constexpr std::int64_t kPartParameters = std::int64_t{16} << 20;
/// Parts that are loaded at a time: each needs memory of its own until it is packed.
constexpr std::int64_t kMostLoaders = 8;
/// Of streamed weights, which pass through a GPU that may have little memory.
constexpr std::int64_t kMostStreamLoaders = 2;

/// A module below another, with what fills it.
struct Part {
  torch::nn::Module* module;
  std::string prefix;  ///< of its parameters' names
  WeightBinding binding;
};

bool is_small(torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count <= kPartParameters || module.children().empty();
}

bool is_streamed(torch::nn::Module& module) {
  return dynamic_cast<nn::Streamed*>(&module) != nullptr;
}

/// The outermost modules for which `is_part` holds.
void collect_parts(torch::nn::Module& module, const std::string& prefix,
                   bool (*is_part)(torch::nn::Module&), std::vector<Part>& parts) {
  if (is_part(module)) {
    parts.push_back({&module, prefix, {}});
    return;
  }
  for (const auto& child : module.named_children()) {
    collect_parts(*child.value(), prefix + child.key() + ".", is_part, parts);
  }
}

/// A module cut into the largest ones that have at most kPartParameters, or into the `streamed`
/// ones. What is in none of them comes last.
std::vector<Part> parts_of(torch::nn::Module& module, const WeightBinding& binding, bool streamed) {
  std::vector<Part> parts;
  collect_parts(module, "", streamed ? is_streamed : is_small, parts);
  parts.push_back({&module, "", {}});
  for (const WeightBinding::Entry& entry : binding.entries) {
    const auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& candidate) {
      return entry.key.starts_with(candidate.prefix);
    });
    part->binding.entries.push_back(entry);
  }
  return parts;
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
  if (execution.eight_bit) nn::prefer_eight_bit(*module_);
}

void LazyModule::load() {
  if (loaded_) return;
  const Stopwatch watch;
  const std::vector<SourceFile> files = files_->weights->files();
  context_.digests->start(files);
  Execution execution = execution_;
  // Packing chooses the layout of convolutions on a CPU; rearranging them before is wasted.
  if (execution.device.is_cpu()) execution.memory_format = c10::MemoryFormat::Contiguous;
  // Part by part, what is let go makes room for what comes next, and for activations later: half of
  // the page faults.
  if (execution.device.is_cpu()) set_allocator_mode(AllocatorMode::kActivations);
  FilesVerdict verdict;
  try {
    verdict = fetch(execution);
  } catch (Error& error) {
    let_go();
    throw error.with_context("loading " + files_->name);
  } catch (...) {
    let_go();
    throw;
  }
  loaded_ = true;
  ++loads_;
  sha256_ = verdict.sha256;
  if (context_.on_load) {
    context_.on_load({files_->name, watch.seconds(), sha256_, verdict.integrity});
  }
}

FilesVerdict LazyModule::fetch(const Execution& execution) {
  const std::vector<SourceFile> files = files_->weights->files();
  // Changed weights are of one run only, and other devices read them as they are.
  const bool keeps = context_.packed.enabled() && updates_.empty() && execution.device.is_cpu();
  PackedCache::Key key;
  if (keeps) {
    key = {files_->name, files_sha256(files, *context_.digests),
           cat(files_->class_name, " ", files_->config.dump()), execution};
    PackedCache::Restored kept = context_.packed.restore(*module_, key);
    mapped_ = std::move(kept.memory);
    if (mapped_) return judge_files(files, *context_.digests, kept.vouched);
    // Of what could not be used something may be there already.
    let_go();
  }
  const bool vouched = load_parts(execution);
  FilesVerdict verdict = judge_files(files, *context_.digests, vouched);
  if (keeps) context_.packed.keep(*module_, key, vouched);
  return verdict;
}

bool LazyModule::load_parts(const Execution& execution) {
  std::atomic<bool> own_hashes = true;
  if (streams_) {
    const std::int64_t slot = nn::streamed_bytes(*module_, execution.dtype).largest;
    stream_ = std::make_unique<nn::WeightStream>(execution.device, slot);
  }
  const auto load_part = [&](const Part& part) {
    if (!load_weights(*files_->weights, part.binding, execution, updates_)) {
      own_hashes = false;
    }
    nn::pack_for_inference(*part.module);
  };
  const std::vector<Part> parts = parts_of(*module_, binding_, streams_);
  const std::size_t children = parts.size() - 1;
  std::atomic<std::size_t> next = 0;
  const std::int64_t most = streams_ ? kMostStreamLoaders : kMostLoaders;
  // Loops inside of this one stay on their thread: none waits for another at every tensor.
  at::parallel_for(0, std::min<std::int64_t>(execution.threads, most), 1, [&](auto, auto) {
    try {
      for (std::size_t i = next++; i < children; i = next++) {
        load_part(parts[i]);
        if (stream_) stream_->adopt(*parts[i].module);
      }
    } catch (...) {
      next = children;
      throw;
    }
  });
  load_part(parts.back());
  return own_hashes;
}

void LazyModule::release() {
  if (!loaded_) return;
  loaded_ = false;
  let_go();
}

void LazyModule::let_go() {
  stream_.reset();
  nn::unpack(*module_);
  unload_weights(*module_);
  mapped_.reset();
  release_freed_memory();
}

void LazyModule::stream_weights(bool streams) {
  streams = streams && execution_.device.is_cuda();
  if (streams == streams_) return;
  release();
  streams_ = streams;
}

std::int64_t LazyModule::streamed_bytes() const {
  const nn::StreamedBytes streamed = nn::streamed_bytes(*module_, execution_.dtype);
  const auto size = static_cast<std::int64_t>(c10::elementSize(execution_.dtype));
  return parameter_count_ * size - streamed.all + 2 * streamed.largest;
}

void LazyModule::reload_as(c10::ScalarType dtype) {
  release();
  execution_.dtype = dtype;
  load();
}

}  // namespace ldm
