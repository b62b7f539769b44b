#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "ldm/app/session.h"
#include "ldm/io/folder_lock.h"
#include "ldm/io/image.h"
#include "ldm/io/output_folder.h"
#include "ldm/train/training_loop.h"

namespace ldm::tools {

/// What the training programs are called with.
struct TrainArguments {
  std::string config;
  bool resume = false;
};

/// How one of them is told apart from the others.
struct TrainProgram {
  std::string name;
  std::string description;
  /// Trains.
  std::function<train::RunResult(const TrainArguments&, app::Session&)> run;
};

/// `main` of a training program: CONFIG.json [--resume] [--threads N] [--json] [--quiet]. Prints
/// the last checkpoint's folder as the result; a signal ends it with the hint to resume.
int train_main(int argc, char** argv, const TrainProgram& program);

/// A run's folder, which this program has for itself.
struct RunFolder {
  explicit RunFolder(const std::string& path);

  OutputFolder folder;
  FolderLock lock;
};

/// Makes /run/output_dir and keeps other runs out of it until the result goes; on rank 0 only,
/// which writes for all, else null. Error::locked naming the process that has it.
std::unique_ptr<RunFolder> take_run_folder(const train::RunConfig& config,
                                           const train::RunPlace& place);

/// Reports on stderr (or as `train_step` and `checkpoint` events), appends every report to
/// OUTPUT_DIR/log.jsonl (lines of steps that a resumed run repeats go first), and stops at a
/// signal.
/// Ranks other than 0 keep silent.
train::LoopCallbacks follow_run(const train::RunConfig& config, const train::RunPlace& place,
                                const TrainArguments& arguments, app::Session& session);

/// Writes OUTPUT_DIR/samples/step-N.png.
void write_sheet(const train::RunConfig& config, std::int64_t step, const Image& sheet);

/// Names the pictures that could not be read, in OUTPUT_DIR/skipped.txt and as warnings.
void list_skipped(const train::RunConfig& config, std::span<const std::string> skipped);

}  // namespace ldm::tools
