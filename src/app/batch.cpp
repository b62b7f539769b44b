#include "ldm/app/batch.h"

#include <signal.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "ldm/app/batch_folder.h"
#include "ldm/app/batch_settings.h"
#include "ldm/app/batch_tasks.h"
#include "ldm/app/events.h"
#include "ldm/app/picture_writer.h"
#include "ldm/app/progress.h"
#include "ldm/app/resolve.h"
#include "ldm/app/run_model.h"
#include "ldm/app/signals.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
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
        folder_(*options_.output_dir, settings_.shard, settings_.shared) {
    choose_seed();
    reader_.emplace(options_);
    choose_device();
    model_ = open_run_model(options_, session);
    pipeline_ = std::make_unique<Pipeline>(model_.components);
    pipeline_->keep_text_encoder();
    maker_ = std::make_unique<TaskMaker>(model_, *pipeline_, settings_.names);
    batch_size_ = options_.batch_size ? static_cast<int>(*options_.batch_size)
                                      : pipeline_->default_batch_size();
  }

  void run() {
    if (reader_->streams()) {
      run_stream();
    } else {
      run_whole();
    }
    progress_->finish();
    if (session_.report.failed > 0) {
      throw Error::stopped(ErrorCode::kPartial,
                           cat(session_.report.failed, " of ", wanted_, " pictures failed"),
                           cat((folder_.folder().path() / "journal.jsonl").string(), " says why"));
    }
  }

  Pipeline& pipeline() { return *pipeline_; }

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
    const std::string device = options_.device.value_or("auto");
    if (settings_.shard.local_rank && device == "cuda") {
      options_.device = cat("cuda:", *settings_.shard.local_rank);
    }
  }

  void run_whole();
  void run_stream();
  bool read_more();
  void make_tasks(std::size_t job);
  void refuse_faults(std::size_t jobs);
  void note_failure(std::int64_t index, const std::string& id, const Error& error);
  void announce();
  void find_done(std::vector<std::size_t>& missing);
  void make(const std::vector<std::size_t>& missing);
  void make_group(std::vector<std::size_t> group);
  void make_alone(const std::vector<std::size_t>& group, const Error& error);
  void compute(const std::vector<std::size_t>& group);
  void finish_picture(const PreparedTask& prepared, const ImageResult& result);
  void check_time(std::size_t pictures) const;
  [[noreturn]] void throw_stopped() const;

  Options options_;
  Session& session_;
  Console& console_;
  BatchSettings settings_;
  BatchFolder folder_;
  std::optional<JobReader> reader_;
  RunModel model_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<TaskMaker> maker_;
  int batch_size_ = 1;

  std::vector<Job> jobs_;
  std::vector<JobFault> faults_;
  std::vector<Task> tasks_;
  std::set<std::string> names_;
  std::set<std::size_t> done_;  ///< numbers of tasks
  std::int64_t wanted_ = 0;     ///< pictures of this process
  std::unique_ptr<ProgressMeter> progress_;
  double picture_seconds_ = 0;  ///< the slowest so far
  bool weights_checked_ = false;
};

bool Batch::read_more() {
  std::vector<Job> fresh;
  const bool more = reader_->next(fresh, faults_);
  for (Job& job : fresh) {
    const std::size_t before = tasks_.size();
    jobs_.push_back(std::move(job));
    try {
      make_tasks(jobs_.size() - 1);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInput && error.code() != ErrorCode::kUsage) throw;
      faults_.push_back({jobs_.back().source, error.message(), error.hint(), jobs_.back().first});
      jobs_.pop_back();
      tasks_.resize(before);
    }
  }
  return more;
}

void Batch::make_tasks(std::size_t job) {
  for (Task& task : maker_->tasks(jobs_[job], job)) {
    if (!settings_.shard.holds(task.index)) continue;
    if (!names_.insert(task.name).second) {
      throw Error::input(cat("the name ", task.name, " is taken by a job before it"),
                         "put {index} into --name-template, or give each job its own output");
    }
    tasks_.push_back(std::move(task));
  }
}

void Batch::note_failure(std::int64_t index, const std::string& source, const Error& error) {
  Json entry = {{"event", "failed"}, {"schema", 1}, {"index", index}, {"source", source}};
  entry["code"] = error_code_name(error.code());
  entry["message"] = error.message();
  folder_.note(entry);
  console_.event(entry);
  ++session_.report.failed;
}

/// Lists every job that cannot be used; only --keep-going goes on without them.
void Batch::refuse_faults(std::size_t jobs) {
  if (faults_.empty()) return;
  const std::size_t count = faults_.size();
  for (const JobFault& fault : faults_) {
    const Error error = Error::input(cat(fault.source, ": ", fault.message), fault.hint);
    if (settings_.keep_going && !settings_.shard.holds(fault.first)) continue;
    console_.error(error);
    if (!settings_.keep_going) continue;
    note_failure(fault.first, fault.source, error);
    ++wanted_;
  }
  faults_.clear();
  if (settings_.keep_going) return;
  throw Error::input(cat(count, " of ", jobs + count, " jobs cannot be used; nothing was made"),
                     "mend them, or leave them out with --keep-going");
}

void Batch::announce() {
  Json entry = {{"event", "run"}, {"schema", 1}, {"seed", *options_.seed}};
  if (!reader_->streams())
    entry["pictures"] = jobs_.empty() ? 0 : jobs_.back().first + jobs_.back().images();
  entry["shard"] = settings_.shard.index;
  entry["shards"] = settings_.shard.count;
  entry["model"] = model_.facts.model_name;
  folder_.note(entry);
  Json event = {{"event", "batch"}, {"schema", 1}, {"pictures", wanted_}};
  event["done"] = done_.size();
  event["output_dir"] = folder_.folder().path().string();
  event["batch_size"] = batch_size_;
  console_.event(event);
  if (!done_.empty()) console_.info(cat(done_.size(), "/", wanted_, " are there already"));
}

/// Looks every task's file up; those of other pictures are an error before anything is made.
void Batch::find_done(std::vector<std::size_t>& missing) {
  std::vector<std::string> others;
  for (std::size_t i : missing) {
    const BatchFolder::State state = folder_.state(tasks_[i], settings_.metadata);
    if (state == BatchFolder::State::kDone) {
      done_.insert(i);
      ++session_.report.skipped;
    }
    if (state == BatchFolder::State::kOther) others.push_back(tasks_[i].name);
  }
  std::erase_if(missing, [this](std::size_t i) { return done_.contains(i); });
  if (others.empty() || settings_.if_exists == IfExists::kReplace) return;
  throw Error::output(
      cat((folder_.folder().path() / others.front()).string(), ": exists and holds something else",
          others.size() > 1 ? cat(" (and ", others.size() - 1, " more)") : ""),
      "--overwrite replaces it; or name another --output-dir");
}

void Batch::run_whole() {
  while (read_more()) {
  }
  refuse_faults(jobs_.size());
  wanted_ += static_cast<std::int64_t>(tasks_.size());
  std::vector<std::size_t> missing(tasks_.size());
  for (std::size_t i = 0; i < missing.size(); ++i) missing[i] = i;
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
    jobs_.clear();
    tasks_.clear();
    done_.clear();
    while (more && tasks_.size() < static_cast<std::size_t>(batch_size_) && faults_.empty()) {
      more = read_more();
    }
    refuse_faults(jobs_.size());
    wanted_ += static_cast<std::int64_t>(tasks_.size());
    std::vector<std::size_t> missing(tasks_.size());
    for (std::size_t i = 0; i < missing.size(); ++i) missing[i] = i;
    find_done(missing);
    make(missing);
  }
}

void Batch::make(const std::vector<std::size_t>& missing) {
  const bool shown = !options_.no_progress.value_or(false) && !console_.quiet && !console_.json;
  if (!progress_) progress_ = std::make_unique<ProgressMeter>(console_, Plan(), shown);
  std::vector<Task> tasks;
  for (const std::size_t i : missing) tasks.push_back(tasks_[i]);
  for (const std::vector<std::size_t>& group : group_tasks(tasks, batch_size_)) {
    if (received_signal() != 0) throw_stopped();
    check_time(group.size());
    std::vector<std::size_t> numbers;
    for (const std::size_t i : group) numbers.push_back(missing[i]);
    make_group(std::move(numbers));
  }
}

/// Makes what nobody else makes or has made.
void Batch::make_group(std::vector<std::size_t> group) {
  std::vector<std::size_t> mine;
  for (const std::size_t i : group) {
    if (!folder_.claim(tasks_[i])) continue;
    if (settings_.shared &&
        folder_.state(tasks_[i], settings_.metadata) == BatchFolder::State::kDone) {
      folder_.release(tasks_[i]);
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
    if (received_signal() != 0) throw_stopped();
    const bool of_the_run = error.code() == ErrorCode::kOutput || error.code() == ErrorCode::kModel;
    std::erase_if(mine, [this](std::size_t i) { return done_.contains(i); });
    if (of_the_run || mine.empty()) throw;
    make_alone(mine, error);
  }
  for (const std::size_t i : group) folder_.release(tasks_[i]);
}

/// After a failure: one by one, so that the fault is the faulty picture's alone.
void Batch::make_alone(const std::vector<std::size_t>& group, const Error& error) {
  const bool retry = group.size() > 1 && batch_size_ > 1;
  if (retry) {
    console_.warning({LogLevel::kWarning,
                      "batch-retried",
                      cat("a batch of ", group.size(), " failed (", error.message(),
                          "); its pictures are made one by one"),
                      {}});
  }
  for (const std::size_t i : group) {
    try {
      if (!retry) throw Error(error);
      compute({i});
    } catch (const Error& fault) {
      if (received_signal() != 0) throw_stopped();
      if (!settings_.keep_going || fault.code() == ErrorCode::kOutput) throw;
      Error named = fault;
      console_.error(named.with_context(jobs_[tasks_[i].job].source));
      note_failure(tasks_[i].index, jobs_[tasks_[i].job].source, fault);
    }
  }
}

void Batch::compute(const std::vector<std::size_t>& group) {
  std::vector<PreparedTask> prepared;
  std::vector<Plan> plans;
  for (const std::size_t i : group) {
    prepared.push_back(maker_->prepare(jobs_[tasks_[i].job], tasks_[i]));
    plans.push_back(prepared.back().facts.plan);
    warn_of_cut_text(plans.back(), console_);
  }
  progress_->expect(static_cast<int>(wanted_),
                    session_.report.images + session_.report.skipped + session_.report.failed);
  const double start = seconds_since_process_start();
  const int before = session_.report.images;
  RunCallbacks callbacks;
  callbacks.on_denoise_start = [&] {
    double& first = session_.report.start_to_first_step_s;
    if (first == 0) first = seconds_since_process_start();
    if (received_signal() != 0) throw_stopped();
    if (settings_.if_exists == IfExists::kReplace || weights_checked_ || done_.empty()) return;
    folder_.check_weights(tasks_[*done_.begin()], weight_hashes(*model_.components));
    weights_checked_ = true;
  };
  callbacks.on_step = [&](const StepInfo& info) {
    console_.event(step_event(info));
    progress_->on_step(info);
    return received_signal() == 0;
  };
  callbacks.on_image = [&](ImageResult&& result) {
    const auto number = static_cast<std::size_t>(result.plan);
    finish_picture(prepared[number], result);
    done_.insert(group[number]);
  };
  pipeline_->run(plans, batch_size_, callbacks);
  const int made = std::max(1, session_.report.images - before);
  picture_seconds_ = std::max(picture_seconds_, (seconds_since_process_start() - start) / made);
}

void Batch::finish_picture(const PreparedTask& prepared, const ImageResult& result) {
  RunFacts facts = prepared.facts;
  if (settings_.metadata != MetadataMode::kNone) {
    facts.weights = weight_hashes(*model_.components);
  }
  const std::vector<std::byte> png = encode_picture_file(result, facts, settings_.metadata);
  const Task& task = prepared.task;
  const std::string sha256 = sha256_hex(png);
  folder_.write(task, png, settings_.if_exists, result.seed, jobs_[task.job].options.id);
  ++session_.report.images;
  const std::filesystem::path path = folder_.path_of(task);
  if (console_.json) {
    console_.event(image_event(path, result.seed, static_cast<int>(task.index), sha256));
  } else {
    console_.result(path.string());
  }
  progress_->on_image(result, path);
}

void Batch::check_time(std::size_t pictures) const {
  if (settings_.time_limit <= 0) return;
  const double needed = picture_seconds_ * static_cast<double>(pictures);
  if (seconds_since_process_start() + needed <= settings_.time_limit) return;
  throw Error::stopped(ErrorCode::kTimeLimit,
                       cat("time limit reached: ", session_.report.images + session_.report.skipped,
                           "/", wanted_, " done"),
                       "the same command goes on from here");
}

void Batch::throw_stopped() const {
  const bool interrupted = received_signal() == SIGINT;
  throw Error::stopped(interrupted ? ErrorCode::kInterrupted : ErrorCode::kTerminated,
                       cat(session_.report.images + session_.report.skipped, "/", wanted_, " done"),
                       "the same command goes on from here");
}

}  // namespace

void generate_batch(const Options& options, Session& session) {
  Batch batch(options, session);
  try {
    batch.run();
  } catch (...) {
    session.report.stages = batch.pipeline().timings();
    throw;
  }
  session.report.stages = batch.pipeline().timings();
  if (!options.timings.value_or(false)) return;
  session.report.total_s = seconds_since_process_start();
  session.report.peak = peak_memory();
  session.console.report(timings_table(session.report));
}

}  // namespace ldm::app
