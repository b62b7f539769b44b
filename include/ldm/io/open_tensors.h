#pragma once

#include <filesystem>
#include <memory>

#include "ldm/io/tensor_source.h"

namespace ldm {

/// Opens any file of weights by its contents: safetensors, an index of safetensors shards
/// (*.index.json), or a torch checkpoint. A name that claims another format is an error, never a
/// reason to try another reader: E_ST_ZIP and E_ST_PICKLE (named .safetensors), E_CKPT_SAFETENSORS
/// (named .ckpt, .pt, .pth or .bin); so is a file that is none of them, E_WEIGHTS_FORMAT. Other
/// errors are those of WeightFiles and TorchCheckpoint.
std::shared_ptr<const TensorSource> open_tensors(const std::filesystem::path& path);

}  // namespace ldm
