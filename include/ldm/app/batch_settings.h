#pragma once

#include "ldm/app/metadata.h"
#include "ldm/app/options.h"
#include "ldm/app/picture_names.h"
#include "ldm/app/shard.h"
#include "ldm/io/file.h"

namespace ldm::app {

/// What the command line says of a batch as a whole.
struct BatchSettings {
  NameTemplate names = NameTemplate("{index}");
  Shard shard;
  bool shared = false;
  bool keep_going = false;
  double time_limit = 0;  ///< seconds; 0: none
  MetadataMode metadata = MetadataMode::kFull;
  IfExists if_exists = IfExists::kKeepIdentical;
};

/// Reads and checks it. Throws Error::usage naming all problems.
BatchSettings read_batch_settings(const Options& options);

}  // namespace ldm::app
