#include "ldm/app/batch.h"

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "ldm/app/batch_folder.h"
#include "ldm/app/batch_jobs.h"
#include "ldm/app/batch_settings.h"
#include "ldm/app/batch_tasks.h"
#include "ldm/app/done_tasks.h"
#include "ldm/app/events.h"
#include "ldm/app/grid.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/picture_queue.h"
#include "ldm/app/picture_writer.h"
#include "ldm/app/preview_file.h"
#include "ldm/app/progress.h"
#include "ldm/app/resolve.h"
#include "ldm/app/run_model.h"
#include "ldm/app/signals.h"
#include "ldm/core/device.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/open.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

/// One run of a batch.
class Batch {
 public:
  Batch(Options options, Session& session)
      : options_(std::move(options)),
        session_(session),
        console_(session.console),
        settings_(read_batch_settings(options_)),
        folder_(*options_.output_dir, settings_.shard, settings_.shared),
        progress_(session.console, shows_progress(options_, session.console)) {
    choose_seed();
    check_preview_path(options_, {});
    JobReader reader(options_);
    choose_device();
    model_ = open_run_model(options_, session);
    finishing_ = PictureQueue(model_.facts.execution);
    pipeline_ = std::make_unique<Pipeline>(model_.components);
    pipeline_->expect_more_runs();
    maker_ = std::make_unique<TaskMaker>(model_, *pipeline_, settings_.names);
    jobs_ = std::make_unique<BatchJobs>(std::move(reader), *maker_, settings_.shard);
    batch_size_ = options_.batch_size ? static_cast<int>(*options_.batch_size)
                                      : pipeline_->default_batch_size();
    progress_.expect_loads(pipeline_->parameter_counts());
    session_.on_load = [this](const LoadInfo& info) { progress_.on_load(info); };
  }
  ~Batch() {
    session_.report.stages = pipeline_->timings();
    session_.on_load = {};
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void run() {
    if (jobs_->streams()) {
      run_stream();
    } else {
      run_whole();
    }
    progress_.finish();
    if (grid_) write_grid();
    if (session_.report.failed > 0) {
      throw Error::stopped(ErrorCode::kPartial,
                           cat(session_.report.failed, " of ", wanted_, " pictures failed"),
                           cat((folder_.folder().path() / "journal.jsonl").string(), " says why"));
    }
  }

 private:
  void choose_seed() {
    if (options_.seed) return;
    options_.seed = folder_.recorded_seed();
    const bool recorded = options_.seed.has_value();
    if (!recorded) options_.seed = random_seed();
    console_.info(cat("seed ", *options_.seed, recorded ? ", as when the folder was begun" : ""));
  }

  /// Processes of one machine take a GPU each.
  void choose_device() {
    if (!settings_.shard.local_rank || options_.device != "cuda") return;
    options_.device = cat("cuda:", *settings_.shard.local_rank);
  }

  const Task& task(std::size_t number) const { return jobs_->tasks()[number]; }
  void run_whole();
  void run_stream();
  void refuse_faults();
  std::vector<std::size_t> take_tasks();
  void note_failure(std::int64_t index, const std::string& source, const Error& error);
  void announce();
  void find_done(std::vector<std::size_t>& missing);
  void plan_grid_file();
  void write_grid();
  void make(const std::vector<std::size_t>& missing);
  void make_group(std::vector<std::size_t> group);
  void make_alone(const std::vector<std::size_t>& group, const Error& error);
  void compute(const std::vector<std::size_t>& group);
  RunCallbacks callbacks(const std::vector<std::size_t>& group,
                         const std::vector<PreparedTask>& prepared);
  void finish_picture(const PreparedTask& prepared, std::size_t number, ImageResult&& image);
  void keep_picture(const Task& done, const ImageResult& result, const std::vector<std::byte>& png);
  void check_time(std::size_t pictures);
  [[noreturn]] void throw_stopped();

  Options options_;
  Session& session_;
  Console& console_;
  BatchSettings settings_;
  BatchFolder folder_;
  ProgressMeter progress_;
  RunModel model_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<TaskMaker> maker_;
  std::unique_ptr<BatchJobs> jobs_;
  int batch_size_ = 1;
  std::optional<Grid> grid_;
  DoneTasks done_;
  std::int64_t wanted_ = 0;     ///< pictures of this process
  PictureCost left_;            ///< work for what is not there yet
  double picture_seconds_ = 0;  ///< the slowest so far
  bool weights_checked_ = false;
  PictureQueue finishing_{0};
};

void Batch::note_failure(std::int64_t index, const std::string& source, const Error& error) {
  const Json event = failed_event(index, source, error);
  folder_.note(event);
  console_.event(event);
  ++session_.report.failed;
}

/// Lists every job that cannot be used; only --keep-going goes on without them.
void Batch::refuse_faults() {
  const std::vector<JobFault> faults = jobs_->take_faults();
  if (faults.empty()) return;
  for (const JobFault& fault : faults) {
    const Error error = Error::input(cat(fault.source, ": ", fault.message), fault.hint);
    if (settings_.keep_going && !settings_.shard.holds(fault.first)) continue;
    console_.error(error);
    if (!settings_.keep_going) continue;
    note_failure(fault.first, fault.source, error);
    ++wanted_;
  }
  if (settings_.keep_going) return;
  throw Error::input(cat(faults.size(), " of ", jobs_->jobs() + faults.size(),
                         " jobs cannot be used; nothing was made"),
                     "mend them, or leave them out with --keep-going");
}

void Batch::announce() {
  Json entry = {{"event", "run"}, {"schema", 1}, {"seed", *options_.seed}};
  if (!jobs_->streams()) entry["pictures"] = jobs_->pictures();
  entry["shard"] = settings_.shard.index;
  entry["shards"] = settings_.shard.count;
  entry["model"] = model_.facts.model_name;
  folder_.note(entry);
  console_.event(batch_event(wanted_, done_.size(), folder_.folder().path(), batch_size_));
  if (!done_.empty()) console_.info(cat(done_.size(), "/", wanted_, " are there already"));
}

/// Looks every task's file up; those of other pictures are an error before anything is made.
void Batch::find_done(std::vector<std::size_t>& missing) {
  std::vector<std::string> others;
  for (const std::size_t i : missing) {
    const BatchFolder::State state = folder_.state(task(i), settings_.metadata);
    if (state == BatchFolder::State::kDone) {
      done_.insert(i);
      ++session_.report.skipped;
    }
    if (state == BatchFolder::State::kOther) others.push_back(task(i).name);
  }
  std::erase_if(missing, [this](std::size_t i) { return done_.contains(i); });
  if (others.empty() || settings_.if_exists == IfExists::kReplace) return;
  throw holds_something_else(folder_.folder().path() / others.front(), others.size(),
                             "--output-dir");
}

/// The numbers of the tasks that were read.
std::vector<std::size_t> Batch::take_tasks() {
  refuse_faults();
  std::vector<std::size_t> numbers(jobs_->tasks().size());
  std::iota(numbers.begin(), numbers.end(), std::size_t{0});
  wanted_ += static_cast<std::int64_t>(numbers.size());
  return numbers;
}

void Batch::run_whole() {
  while (jobs_->read_more()) {
  }
  std::vector<std::size_t> missing = take_tasks();
  if (options_.grid) plan_grid_file();
  find_done(missing);
  announce();
  make(missing);
  if (!settings_.shared) return;
  // Another process may have gone without making what it had claimed.
  std::erase_if(missing, [this](std::size_t i) { return done_.contains(i); });
  find_done(missing);
  make(missing);
}

void Batch::run_stream() {
  announce();
  bool more = true;
  while (more) {
    jobs_->clear();
    done_.clear();
    while (more && jobs_->tasks().size() < static_cast<std::size_t>(batch_size_) &&
           !jobs_->has_faults()) {
      more = jobs_->read_more();
    }
    std::vector<std::size_t> missing = take_tasks();
    find_done(missing);
    make(missing);
  }
}

void Batch::plan_grid_file() {
  if (jobs_->tasks().empty()) return;
  const auto grid = std::filesystem::path(*options_.grid).lexically_normal();
  for (const Task& one : jobs_->tasks()) {
    if (folder_.path_of(one).lexically_normal() != grid) continue;
    throw Error::usage(cat("--grid ", *options_.grid, " is one of the batch's pictures"));
  }
  const Options shared = maker_->resolved(jobs_->job_of(jobs_->tasks().front()));
  grid_.emplace(*options_.grid, jobs_->grid_pictures(), jobs_->axes(), shared, settings_.metadata,
                settings_.if_exists == IfExists::kReplace);
}

/// From the files: so it shows also what an earlier run made.
void Batch::write_grid() {
  const auto read = [this](std::size_t i) -> std::optional<Image> {
    if (received_signal() != 0) throw_stopped();
    return done_.contains(i) ? folder_.picture(task(i)) : std::nullopt;
  };
  grid_->write(read, console_);
}

void Batch::make(const std::vector<std::size_t>& missing) {
  if (missing.empty()) return;
  if (session_.report.images == 0) progress_.on_start(model_.facts.model_name);
  std::vector<Task> tasks;
  left_ = {};
  for (const std::size_t i : missing) {
    tasks.push_back(task(i));
    left_ += task(i).cost;
  }
  run_finishing(finishing_, [&] {
    for (const std::vector<std::size_t>& group : group_tasks(tasks, batch_size_)) {
      if (received_signal() != 0) throw_stopped();
      check_time(group.size());
      std::vector<std::size_t> numbers;
      for (const std::size_t i : group) numbers.push_back(missing[i]);
      make_group(std::move(numbers));
      for (const std::size_t i : group) left_ -= tasks[i].cost;
    }
  });
}

/// Makes what nobody else makes or has made.
void Batch::make_group(std::vector<std::size_t> group) {
  std::vector<std::size_t> mine;
  for (const std::size_t i : group) {
    if (!folder_.claim(task(i))) continue;
    if (settings_.shared &&
        folder_.state(task(i), settings_.metadata) == BatchFolder::State::kDone) {
      folder_.release(task(i));
      done_.insert(i);
      ++session_.report.skipped;
      continue;
    }
    mine.push_back(i);
  }
  if (mine.empty()) return;
  try {
    compute(mine);
  } catch (const Error& error) {
    finishing_.drain();
    if (received_signal() != 0) throw_stopped();
    const bool of_the_run = error.code() == ErrorCode::kOutput || error.code() == ErrorCode::kModel;
    std::erase_if(mine, [this](std::size_t i) { return done_.contains(i); });
    if (of_the_run || mine.empty()) throw;
    make_alone(mine, error);
    finishing_.drain();
    for (const std::size_t i : mine) {
      if (!done_.contains(i)) folder_.release(task(i));
    }
  }
}

/// After a failure: one by one, so that the fault is the faulty picture's alone. Where memory ran
/// out the pipeline has tried that.
void Batch::make_alone(const std::vector<std::size_t>& group, const Error& error) {
  const bool retry = group.size() > 1 && error.code() != ErrorCode::kMemory;
  if (retry) {
    console_.warning({LogLevel::kWarning,
                      "batch-retried",
                      cat("a batch of ", group.size(), " failed (", error.message(),
                          "); its pictures are made one by one"),
                      {}});
  }
  for (const std::size_t i : group) {
    const std::string& source = jobs_->job_of(task(i)).source;
    try {
      if (!retry) throw Error(error);
      compute({i});
    } catch (const Error& fault) {
      if (received_signal() != 0) throw_stopped();
      if (!settings_.keep_going || fault.code() == ErrorCode::kOutput) throw;
      Error named = fault;
      console_.error(named.with_context(source));
      note_failure(task(i).index, source, fault);
    }
  }
}

void Batch::compute(const std::vector<std::size_t>& group) {
  std::vector<PreparedTask> prepared;
  std::vector<Plan> plans;
  for (const std::size_t i : group) {
    prepared.push_back(maker_->prepare(jobs_->job_of(task(i)), task(i)));
    plans.push_back(prepared.back().facts.plan);
    warn_of_cut_text(plans.back(), console_);
  }
  const RunReport& report = session_.report;
  progress_.begin({task(group.front()).cost, left_, static_cast<int>(group.size()),
                   static_cast<int>(wanted_), report.images + report.skipped + report.failed});
  const double start = seconds_since_process_start();
  pipeline_->run(plans, batch_size_, callbacks(group, prepared));
  const double seconds = seconds_since_process_start() - start;
  picture_seconds_ = std::max(picture_seconds_, seconds / static_cast<double>(group.size()));
}

RunCallbacks Batch::callbacks(const std::vector<std::size_t>& group,
                              const std::vector<PreparedTask>& prepared) {
  RunCallbacks callbacks;
  callbacks.on_stage = [this](RunStage stage) { progress_.on_stage(stage); };
  callbacks.on_denoise_start = [this] {
    double& first = session_.report.start_to_first_step_s;
    if (first == 0) first = seconds_since_process_start();
    if (received_signal() != 0) throw_stopped();
    if (settings_.if_exists == IfExists::kReplace || weights_checked_ || done_.empty()) return;
    folder_.check_weights(task(done_.first()), weight_hashes(*model_.components));
    weights_checked_ = true;
  };
  callbacks.on_step = [this](const StepInfo& info) {
    progress_.on_step(info);
    finishing_.commit_ready();
    if (console_.json) console_.event(step_event(info, progress_.state().left_s, rss_bytes()));
    return received_signal() == 0;
  };
  callbacks.on_image = [this, &group, &prepared](ImageResult&& result) {
    const auto number = static_cast<std::size_t>(result.plan);
    finish_picture(prepared[number], group[number], std::move(result));
  };
  add_preview(options_, console_, callbacks);
  return callbacks;
}

/// Encodes and keeps a picture; then its task, of that number, is done.
void Batch::finish_picture(const PreparedTask& prepared, std::size_t number, ImageResult&& image) {
  const auto result = std::make_shared<const ImageResult>(std::move(image));
  RunFacts facts = prepared.facts;
  if (settings_.metadata != MetadataMode::kNone) {
    facts.weights = weight_hashes(*model_.components);
  }
  finishing_.add(
      [this, result, facts] { return encode_picture_file(*result, facts, settings_.metadata); },
      [this, result, number, done = prepared.task](const std::vector<std::byte>& png) {
        keep_picture(done, *result, png);
        done_.insert(number);
        folder_.release(done);
      });
}

void Batch::keep_picture(const Task& done, const ImageResult& result,
                         const std::vector<std::byte>& png) {
  const WrittenPicture written = folder_.write(done, png, settings_.if_exists, result.seed);
  ++session_.report.images;
  progress_.on_image(result, written.path);
  folder_.note_picture(done, written, jobs_->job_of(done).options.id, progress_.image_seconds());
  announce_picture(written, progress_, console_);
  write_heatmap(written.path, result, settings_.if_exists, console_);
}

void Batch::check_time(std::size_t pictures) {
  if (settings_.time_limit <= 0) return;
  const double needed = picture_seconds_ * static_cast<double>(pictures);
  if (seconds_since_process_start() + needed <= settings_.time_limit) return;
  finishing_.drain();
  throw Error::stopped(ErrorCode::kTimeLimit,
                       cat("time limit reached: ", session_.report.images + session_.report.skipped,
                           "/", wanted_, " done"),
                       "the same command goes on from here");
}

void Batch::throw_stopped() {
  finishing_.drain();
  const bool interrupted = received_signal() == SIGINT;
  throw Error::stopped(interrupted ? ErrorCode::kInterrupted : ErrorCode::kTerminated,
                       cat(session_.report.images + session_.report.skipped, "/", wanted_, " done"),
                       "the same command goes on from here");
}

}  // namespace

void generate_batch(const Options& options, Session& session) {
  Batch(options, session).run();
  show_timings(options, session);
}

}  // namespace ldm::app
