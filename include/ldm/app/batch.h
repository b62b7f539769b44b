#pragma once

#include "ldm/app/options.h"
#include "ldm/app/session.h"

namespace ldm::app {

/// Makes all pictures of --jobs, --prompts, --sweep or one prompt in --output-dir, each exactly
/// once: what is there already is left alone, whatever ended the run before. `options` as
/// `with_config_file` gave them.
void generate_batch(const Options& options, Session& session);

}  // namespace ldm::app
