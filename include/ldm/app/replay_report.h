#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ldm/app/recorded_picture.h"
#include "ldm/core/error.h"
#include "ldm/io/image.h"

namespace ldm::app {

/// One thing of a picture as it was recorded and as it is now; empty where it is not known.
struct Compared {
  std::string name;
  std::string recorded;
  std::string here;

  bool known() const { return !recorded.empty() && !here.empty(); }
  bool differs() const { return known() && recorded != here; }
};

/// How far two pictures are apart.
struct PixelDifference {
  bool same_size = true;
  int largest = 0;     ///< of 255
  double psnr_db = 0;  ///< of pictures that differ
  bool any() const { return !same_size || largest > 0; }
};

PixelDifference compare_pixels(const Image& a, const Image& b);

/// A picture beside what was made again from its settings.
struct ReplayReport {
  std::vector<Compared> stages;       ///< in the data's order; none where no hashes are recorded
  std::vector<Compared> weights;      ///< by component
  std::vector<Compared> environment;  ///< what `environment_of` says
  PixelDifference pixels;             ///< of the file's own pixels

  /// The first stage that differs; "file" where all are equal and yet the file has other pixels;
  /// empty where nothing differs.
  std::string first_difference() const;
};

/// Compares what is recorded with what `settings` say of the new picture.
ReplayReport compare_replay(const RecordedPicture& recorded, const nlohmann::json& settings,
                            const PixelDifference& pixels);

/// Components of which other weights are recorded than are in `weights`.
std::vector<Compared> compare_maps(const std::map<std::string, std::string>& recorded,
                                   const std::map<std::string, std::string>& here);

/// The error of a picture that came out different: first stage, pixels, and what else differs.
Error replay_error(const ReplayReport& report, const std::string& name);

/// `replay`: the verdict of every stage.
nlohmann::ordered_json replay_event(const ReplayReport& report, const std::string& name);

}  // namespace ldm::app
