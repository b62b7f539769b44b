#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/loading/model_files.h"

namespace ldm {

/// What was found wrong, or vouched for, in one component.
struct ComponentVerdict {
  std::string name;
  std::string class_name;
  std::vector<std::string> missing;     ///< "key [shape]"
  std::vector<std::string> unexpected;  ///< "key [shape]"
  std::vector<std::string> mis_shaped;  ///< "key expected […] found […]"
  std::vector<std::string> non_finite;  ///< "key: N values"
  std::vector<std::string> unreadable;  ///< a tensor's or file's error in words

  bool sound() const {
    return missing.empty() && unexpected.empty() && mis_shaped.empty() && non_finite.empty() &&
           unreadable.empty();
  }
};

/// Compares a component's tensors with what its config asks for and reads every one of them for
/// damage, NaN and Inf. Nothing is thrown for what is wrong with tensors; Error::model for a config
/// that describes no module.
ComponentVerdict verify_component(const ComponentFiles& files);

}  // namespace ldm
