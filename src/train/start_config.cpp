#include "ldm/train/start_config.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {

void StartConfig::validate(const std::string& where) const {
  if (posterior_log_variance < -30 || posterior_log_variance > 20) {
    throw Error::input(
        cat(where, ": /posterior_log_variance: ", posterior_log_variance, " is not in -30 … 20"));
  }
}

}  // namespace ldm::train
