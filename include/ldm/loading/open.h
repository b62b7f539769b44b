#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ldm/core/execution_request.h"
#include "ldm/loading/embedding_request.h"
#include "ldm/loading/model_files.h"

namespace ldm {

struct Components;

/// A component's weights came into memory.
struct LoadInfo {
  std::string component;
  double seconds = 0;
  std::string sha256;     ///< of its weight file; of all shards' digests in order when sharded
  std::string integrity;  ///< "verified by …" or "unverified: …"
};

using LoadObserver = std::function<void(const LoadInfo&)>;

/// Makes ready to compute with a model: checks every config and every tensor's name and shape of
/// all components, and picks device and dtype. Weights are read later, when a stage first needs
/// them; `on_load` then hears of it. Throws Error::model listing all that is missing, unexpected or
/// mis-shaped, in the model or in a textual inversion, Error::usage for a device or dtype that
/// cannot be had.
std::shared_ptr<Components> open_components(ModelFiles files, const ExecutionRequest& execution,
                                            LoadObserver on_load = {},
                                            const std::vector<EmbeddingChoice>& embeddings = {});

/// The textual inversions that it was opened with, in their order.
std::vector<EmbeddingUse> embeddings_in_use(const Components& components);

/// What `open_components` decided.
ExecutionSummary execution_summary(const Components& components);

/// SHA-256 of every weight file read so far, by component.
std::map<std::string, std::string> weight_hashes(const Components& components);

/// Peak of this process's memory so far: host resident set, and CUDA allocator (0 without CUDA).
struct PeakMemory {
  double rss_bytes = 0;
  double cuda_bytes = 0;
};
PeakMemory peak_memory();

}  // namespace ldm
