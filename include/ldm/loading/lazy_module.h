#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "ldm/core/execution.h"
#include "ldm/loading/file_digests.h"
#include "ldm/loading/load_module.h"
#include "ldm/loading/open.h"
#include "ldm/loading/packed_cache.h"
#include "ldm/nn/weight_stream.h"

namespace ldm {

/// What the modules of one model share when they load.
struct LoadContext {
  LoadObserver on_load;
  PackedCache packed;  ///< asked before weights are read on a CPU
  std::shared_ptr<FileDigests> digests = std::make_shared<FileDigests>(DigestCache::of_user());
};

/// A module whose weights are read when it is first needed and can be let go in between.
class LazyModule {
 public:
  /// Binds names and shapes; reads nothing.
  LazyModule(std::shared_ptr<torch::nn::Module> module, const ComponentFiles& files,
             const Execution& execution, LoadContext context);

  const WeightBinding& binding() const { return binding_; }
  const Execution& execution() const { return execution_; }
  const std::string& name() const { return files_->name; }
  bool loaded() const { return loaded_; }
  /// How often the weights have been read; they are others, or elsewhere, each time.
  std::int64_t loads() const { return loads_; }
  const torch::nn::Module& module() const { return *module_; }
  /// Values of all parameters, whether or not they are there.
  std::int64_t parameter_count() const { return parameter_count_; }
  /// Adds these to the weights whenever they are read from now on.
  void update(WeightUpdates updates) { updates_ = std::move(updates); }

  /// Reads the weights unless they are there.
  void load();
  /// Lets the weights go.
  void release();
  /// Whether the weights of blocks stay on the host, on their way to a GPU only as they are used
  /// (nn/weight_stream.h); never for another device. Weights that are there otherwise are let go.
  void stream_weights(bool streams);
  bool streams() const { return streams_; }
  /// What the weights take of a GPU's memory while they are streamed.
  std::int64_t streamed_bytes() const;
  /// Reads the weights again in another number format.
  void reload_as(c10::ScalarType dtype);
  /// SHA-256 of the weight file(s) as of the first load; empty before it.
  const std::string& sha256() const { return sha256_; }

 private:
  /// Takes the weights from the cache or from the files, and what vouches for these.
  FilesVerdict fetch(const Execution& execution);
  /// Reads all weights and packs them; whether the files gave a digest for each.
  bool load_parts(const Execution& execution);
  /// Frees whatever weights there are, also those of a load that failed half way.
  void let_go();

  std::shared_ptr<torch::nn::Module> module_;
  std::int64_t parameter_count_ = 0;
  const ComponentFiles* files_;
  Execution execution_;
  LoadContext context_;
  WeightBinding binding_;
  WeightUpdates updates_;
  std::shared_ptr<const MappedFile> mapped_;  ///< what the weights are in, of the cache
  std::unique_ptr<nn::WeightStream> stream_;  ///< while streamed weights are there
  std::string sha256_;
  bool streams_ = false;
  bool loaded_ = false;
  std::int64_t loads_ = 0;
};

/// A LazyModule that knows its type.
template <typename Module>
class Lazy : public LazyModule {
 public:
  Lazy(std::shared_ptr<Module> module, const ComponentFiles& files, const Execution& execution,
       LoadContext context)
      : LazyModule(module, files, execution, std::move(context)), module_(std::move(module)) {}

  /// The module with its weights.
  Module& get() {
    load();
    return *module_;
  }
  /// The module whether or not its weights are there: for its configuration.
  const Module& bare() const { return *module_; }
  /// Gives the module vectors that are no part of its files.
  void learn(const at::Tensor& vectors) { module_->learn(vectors); }

 private:
  std::shared_ptr<Module> module_;
};

}  // namespace ldm
