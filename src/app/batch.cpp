#include "ldm/app/batch.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <utility>

#include "ldm/app/batch_pictures.h"
#include "ldm/app/batch_run.h"
#include "ldm/app/events.h"
#include "ldm/app/grid.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/resolve.h"
#include "ldm/app/signals.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

/// One run of a batch.
class Batch {
 public:
  Batch(const Options& options, Session& session) : run_(options, session), pictures_(run_) {}

  void run() {
    if (run_.jobs->streams()) {
      run_stream();
    } else {
      run_whole();
    }
    run_.progress.finish();
    if (grid_) write_grid();
    if (run_.session.report.failed > 0) {
      throw Error::stopped(
          ErrorCode::kPartial,
          cat(run_.session.report.failed, " of ", run_.wanted, " pictures failed"),
          cat((run_.folder.folder().path() / "journal.jsonl").string(), " says why"));
    }
  }

 private:
  void run_whole();
  void run_stream();
  void refuse_faults();
  std::vector<std::size_t> take_tasks();
  void announce();
  void find_done(std::vector<std::size_t>& missing);
  void plan_grid_file();
  void write_grid();

  BatchRun run_;
  BatchPictures pictures_;
  std::optional<Grid> grid_;
};

/// Lists every job that cannot be used; only --keep-going goes on without them.
void Batch::refuse_faults() {
  const std::vector<JobFault> faults = run_.jobs->take_faults();
  if (faults.empty()) return;
  for (const JobFault& fault : faults) {
    const Error error = Error::input(cat(fault.source, ": ", fault.message), fault.hint);
    if (run_.settings.keep_going && !run_.settings.shard.holds(fault.first)) continue;
    run_.console.error(error);
    if (!run_.settings.keep_going) continue;
    run_.note_failure(fault.first, fault.source, error);
    ++run_.wanted;
  }
  if (run_.settings.keep_going) return;
  throw Error::input(cat(faults.size(), " of ", run_.jobs->jobs() + faults.size(),
                         " jobs cannot be used; nothing was made"),
                     "mend them, or leave them out with --keep-going");
}

void Batch::announce() {
  nlohmann::ordered_json entry = {{"event", "run"}, {"schema", 1}, {"seed", *run_.options.seed}};
  if (!run_.jobs->streams()) entry["pictures"] = run_.jobs->pictures();
  entry["shard"] = run_.settings.shard.index;
  entry["shards"] = run_.settings.shard.count;
  entry["model"] = run_.model.facts.model_name;
  run_.folder.note(entry);
  run_.console.event(
      batch_event(run_.wanted, run_.done.size(), run_.folder.folder().path(), run_.batch_size));
  if (!run_.done.empty())
    run_.console.info(cat(run_.done.size(), "/", run_.wanted, " are there already"));
}

/// Looks every task's file up; those of other pictures are an error before anything is made.
void Batch::find_done(std::vector<std::size_t>& missing) {
  std::vector<std::string> others;
  for (const std::size_t i : missing) {
    const BatchFolder::State state = run_.folder.state(run_.task(i), run_.settings.metadata);
    if (state == BatchFolder::State::kDone) {
      run_.done.insert(i);
      ++run_.session.report.skipped;
    }
    if (state == BatchFolder::State::kOther) others.push_back(run_.task(i).name);
  }
  std::erase_if(missing, [this](std::size_t i) { return run_.done.contains(i); });
  if (others.empty() || run_.settings.if_exists == IfExists::kReplace) return;
  throw holds_something_else(run_.folder.folder().path() / others.front(), others.size(),
                             "--output-dir");
}

/// The numbers of the tasks that were read.
std::vector<std::size_t> Batch::take_tasks() {
  refuse_faults();
  std::vector<std::size_t> numbers(run_.jobs->tasks().size());
  std::iota(numbers.begin(), numbers.end(), std::size_t{0});
  run_.wanted += static_cast<std::int64_t>(numbers.size());
  return numbers;
}

void Batch::run_whole() {
  while (run_.jobs->read_more()) {
  }
  std::vector<std::size_t> missing = take_tasks();
  if (run_.options.grid) plan_grid_file();
  find_done(missing);
  announce();
  pictures_.make(missing);
  if (!run_.settings.shared) return;
  // Another process may have gone without making what it had claimed.
  std::erase_if(missing, [this](std::size_t i) { return run_.done.contains(i); });
  find_done(missing);
  pictures_.make(missing);
}

void Batch::run_stream() {
  announce();
  bool more = true;
  while (more) {
    run_.jobs->clear();
    run_.done.clear();
    while (more && run_.jobs->tasks().size() < static_cast<std::size_t>(run_.batch_size) &&
           !run_.jobs->has_faults()) {
      more = run_.jobs->read_more();
    }
    std::vector<std::size_t> missing = take_tasks();
    find_done(missing);
    pictures_.make(missing);
  }
}

void Batch::plan_grid_file() {
  if (run_.jobs->tasks().empty()) return;
  const auto grid = std::filesystem::path(*run_.options.grid).lexically_normal();
  for (const Task& one : run_.jobs->tasks()) {
    if (run_.folder.path_of(one).lexically_normal() != grid) continue;
    throw Error::usage(cat("--grid ", *run_.options.grid, " is one of the batch's pictures"));
  }
  const Options shared = run_.maker->resolved(run_.jobs->job_of(run_.jobs->tasks().front()));
  grid_.emplace(*run_.options.grid, run_.jobs->grid_pictures(), run_.jobs->axes(), shared,
                run_.settings.metadata, run_.settings.if_exists == IfExists::kReplace);
}

/// From the files: so it shows also what an earlier run made.
void Batch::write_grid() {
  const auto read = [this](std::size_t i) -> std::optional<Image> {
    if (received_signal() != 0) pictures_.throw_stopped();
    return run_.done.contains(i) ? run_.folder.picture(run_.task(i)) : std::nullopt;
  };
  grid_->write(read, run_.console);
}

}  // namespace

void generate_batch(const Options& options, Session& session) {
  Batch(options, session).run();
  show_timings(options, session);
}

}  // namespace ldm::app
