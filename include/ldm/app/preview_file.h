#pragma once

#include <filesystem>
#include <vector>

#include "ldm/app/console.h"
#include "ldm/app/options.h"
#include "ldm/pipeline/pipeline.h"

namespace ldm::app {

/// Throws Error::usage where the preview would replace another output of the run, Error::output
/// where its folder is not there.
void check_preview_path(const Options& options, const std::vector<std::filesystem::path>& outputs);

/// Makes a run keep --preview's file up to date, each picture whole or not at all. A preview that
/// cannot be written is told once and then given up: the run goes on. Does nothing without one.
void add_preview(const Options& options, Console& console, RunCallbacks& callbacks);

}  // namespace ldm::app
