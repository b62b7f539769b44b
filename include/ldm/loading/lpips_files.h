#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "ldm/core/execution.h"
#include "ldm/io/tensor_source.h"
#include "ldm/models/lpips.h"
#include "ldm/models/ranking_net.h"

namespace ldm {

/// Where LPIPS' weights come from: two published files, or one that training here wrote.
struct LpipsFiles {
  models::PerceptualNet net = models::PerceptualNet::kAlex;
  std::filesystem::path lin = {};       ///< weights/v0.1/NET.pth of the PyPI package `lpips`
  std::filesystem::path backbone = {};  ///< torchvision's alexnet, vgg16 or squeezenet1_1
  std::filesystem::path weights =
      {};  ///< of `ldm-lpips train`; without a backbone in it, names one too
};

/// What a file of `ldm-lpips train` holds.
struct LpipsContents {
  models::PerceptualNet net = models::PerceptualNet::kAlex;
  bool has_backbone = false;
  bool has_ranking = false;
};

/// Any file of LPIPS weights: those of open_tensors, and checkpoints of torch before 1.6, as the
/// package's own and torchvision's older ones are.
std::shared_ptr<const TensorSource> open_lpips_tensors(const std::filesystem::path& path);

/// Recognises a training file by its weightings' shapes. Error::model
/// for a file that holds no weightings of LPIPS.
LpipsContents inspect_lpips_file(const std::filesystem::path& path);

/// LPIPS ready to compare, not trainable, in evaluation mode. Error::usage where a file that is
/// needed is not named, with where to get it; Error::model naming every missing, unexpected or
/// mis-shaped tensor.
models::LPIPS load_lpips(const LpipsFiles& files, const Execution& execution = {});

/// Only the backbone of such a network, for training weightings from random ones; names as
/// torchvision's or this project's. Errors as load_lpips.
void load_lpips_backbone(models::LPIPS& lpips, const std::filesystem::path& path,
                         const Execution& execution = {});

/// The ranking network of a training file; Error::model where it has none.
models::RankingNet load_ranking(const std::filesystem::path& weights,
                                const Execution& execution = {});

/// Writes one safetensors file: the weightings "lin0.model.1.weight" …, "rank.model.0.weight" …
/// and, `with_backbone`, "net.features.0.weight" …, with the network's name in its metadata. The
/// file appears whole or not at all. Error::output.
void save_lpips(const std::filesystem::path& path, const models::LPIPS& lpips,
                const models::RankingNet& ranking, bool with_backbone, const std::string& mode,
                bool overwrite);

}  // namespace ldm
