#pragma once

#include "ldm/core/error.h"
#include "ldm/io/fields.h"
#include "ldm/train/run_config.h"

namespace ldm::train {

template <typename T>
T read_section(const RunConfig& config, const std::string& name) {
  const std::string where = config.source + ": /" + name;
  T section;
  try {
    refuse_unknown(read_fields(section_of(config, name), section, where), where);
  } catch (Error& error) {
    throw error.with_code(ErrorCode::kInput);
  }
  section.validate(where);
  return section;
}

}  // namespace ldm::train
