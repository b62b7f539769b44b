#include "ldm/app/batch_pictures.h"

#include <signal.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "ldm/app/events.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/picture_writer.h"
#include "ldm/app/preview_file.h"
#include "ldm/app/resolve.h"
#include "ldm/app/signals.h"
#include "ldm/core/device.h"
#include "ldm/core/text.h"

namespace ldm::app {

BatchPictures::BatchPictures(BatchRun& run) : run_(run), finishing_(run.model.facts.execution) {}

void BatchPictures::make(const std::vector<std::size_t>& missing) {
  if (missing.empty()) return;
  if (run_.session.report.images == 0) run_.progress.on_start(run_.model.facts.model_name);
  std::vector<Task> tasks;
  left_ = {};
  for (const std::size_t i : missing) {
    tasks.push_back(run_.task(i));
    left_ += run_.task(i).cost;
  }
  const auto compute_all = [&] {
    for (const std::vector<std::size_t>& group : group_tasks(tasks, run_.batch_size)) {
      if (received_signal() != 0) throw_stopped();
      if (failure_) throw Error(*failure_);
      check_time(group.size());
      std::vector<std::size_t> numbers;
      for (const std::size_t i : group) numbers.push_back(missing[i]);
      make_group(std::move(numbers));
      for (const std::size_t i : group) left_ -= tasks[i].cost;
    }
  };
  run_finishing(compute_all, [this] { settle(); });
  if (failure_) throw Error(*failure_);
}

/// Waits for the pictures that are still being decoded and encoded.
void BatchPictures::settle() {
  run_.pipeline->finish();
  finishing_.drain();
}

/// Makes what nobody else makes or has made.
void BatchPictures::make_group(std::vector<std::size_t> group) {
  std::vector<std::size_t> mine;
  for (const std::size_t i : group) {
    if (!run_.folder.claim(run_.task(i))) continue;
    if (run_.settings.shared &&
        run_.folder.state(run_.task(i), run_.settings.metadata) == BatchFolder::State::kDone) {
      run_.folder.release(run_.task(i));
      run_.done.insert(i);
      ++run_.session.report.skipped;
      continue;
    }
    mine.push_back(i);
  }
  if (mine.empty()) return;
  try {
    compute(mine);
  } catch (const Error& error) {
    settle();
    if (received_signal() != 0) throw_stopped();
    const bool of_the_run = error.code() == ErrorCode::kOutput || error.code() == ErrorCode::kModel;
    std::erase_if(mine, [this](std::size_t i) { return run_.done.contains(i); });
    if (of_the_run || mine.empty()) throw;
    make_alone(mine, error);
    settle();
    for (const std::size_t i : mine) {
      if (!run_.done.contains(i)) run_.folder.release(run_.task(i));
    }
  }
}

/// After a failure: one by one, so that the fault is the faulty picture's alone. Where memory ran
/// out the pipeline has tried that.
void BatchPictures::make_alone(const std::vector<std::size_t>& group, const Error& error) {
  const bool retry = group.size() > 1 && error.code() != ErrorCode::kMemory;
  if (retry) {
    run_.console.warning({LogLevel::kWarning,
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
      if (!run_.settings.keep_going || fault.code() == ErrorCode::kOutput) throw;
      fail(i, fault);
    }
  }
}

/// Tells of a task that cannot be made; without --keep-going it is the last one.
void BatchPictures::fail(std::size_t number, const Error& error) {
  const std::string& source = run_.jobs->job_of(run_.task(number)).source;
  if (!run_.settings.keep_going) {
    if (!failure_) failure_ = Error(error).with_context(source);
    return;
  }
  run_.console.error(Error(error).with_context(source));
  run_.note_failure(run_.task(number).index, source, error);
}

void BatchPictures::compute(const std::vector<std::size_t>& group) {
  std::vector<PreparedTask> prepared;
  std::vector<Plan> plans;
  for (const std::size_t i : group) {
    prepared.push_back(run_.maker->prepare(run_.jobs->job_of(run_.task(i)), run_.task(i)));
    plans.push_back(prepared.back().facts.plan);
    warn_of_cut_text(plans.back(), run_.console);
  }
  const RunReport& report = run_.session.report;
  run_.progress.begin({run_.task(group.front()).cost, left_, static_cast<int>(group.size()),
                       static_cast<int>(run_.wanted),
                       report.images + report.skipped + report.failed,
                       run_.pipeline->late_pictures() + static_cast<int>(finishing_.size())});
  const double start = seconds_since_process_start();
  run_.pipeline->run(plans, run_.batch_size, callbacks(group, std::move(prepared)));
  const double seconds = seconds_since_process_start() - start;
  picture_seconds_ = std::max(picture_seconds_, seconds / static_cast<double>(group.size()));
}

/// They outlive the run: a GPU may still be decoding when it ends.
RunCallbacks BatchPictures::callbacks(const std::vector<std::size_t>& group,
                                      std::vector<PreparedTask> prepared) {
  struct Group {
    std::vector<std::size_t> numbers;
    std::vector<PreparedTask> tasks;
  };
  const auto kept = std::make_shared<const Group>(Group{group, std::move(prepared)});
  RunCallbacks callbacks;
  callbacks.on_stage = [this](RunStage stage) { run_.progress.on_stage(stage); };
  callbacks.on_denoise_start = [this] {
    double& first = run_.session.report.start_to_first_step_s;
    if (first == 0) first = seconds_since_process_start();
    if (received_signal() != 0) throw_stopped();
    if (run_.settings.if_exists == IfExists::kReplace || weights_checked_ || run_.done.empty())
      return;
    run_.folder.check_weights(run_.task(run_.done.first()), weight_hashes(*run_.model.components));
    weights_checked_ = true;
  };
  callbacks.on_step = [this](const StepInfo& info) {
    run_.progress.on_step(info);
    finishing_.commit_ready();
    if (run_.console.json)
      run_.console.event(step_event(info, run_.progress.state().left_s, rss_bytes()));
    return received_signal() == 0;
  };
  callbacks.on_image = [this, kept](ImageResult&& result) {
    const auto plan = static_cast<std::size_t>(result.plan);
    finish_picture(kept->tasks[plan], kept->numbers[plan], std::move(result));
  };
  callbacks.on_failed = [this, kept](int plan, const Error& error) {
    const std::size_t number = kept->numbers[static_cast<std::size_t>(plan)];
    fail(number, error);
    run_.folder.release(run_.task(number));
  };
  add_preview(run_.options, run_.console, callbacks);
  return callbacks;
}

/// Encodes and keeps a picture; then its task, of that number, is done.
void BatchPictures::finish_picture(const PreparedTask& prepared, std::size_t number,
                                   ImageResult&& image) {
  const auto result = std::make_shared<const ImageResult>(std::move(image));
  RunFacts facts = prepared.facts;
  if (run_.settings.metadata != MetadataMode::kNone) {
    facts.weights = weight_hashes(*run_.model.components);
  }
  finishing_.add(
      [this, result, facts] { return encode_picture_file(*result, facts, run_.settings.metadata); },
      [this, result, number, done = prepared.task](const std::vector<std::byte>& png) {
        keep_picture(done, *result, png);
        run_.done.insert(number);
        run_.folder.release(done);
      });
}

void BatchPictures::keep_picture(const Task& done, const ImageResult& result,
                                 const std::vector<std::byte>& png) {
  const WrittenPicture written = run_.folder.write(done, png, run_.settings.if_exists, result.seed);
  ++run_.session.report.images;
  run_.progress.on_image(result, written.path);
  run_.folder.note_picture(done, written, run_.jobs->job_of(done).options.id,
                           run_.progress.image_seconds());
  announce_picture(written, run_.progress, run_.console);
  write_heatmap(written.path, result, run_.settings.if_exists, run_.console);
}

void BatchPictures::check_time(std::size_t pictures) {
  if (run_.settings.time_limit <= 0) return;
  const double needed = picture_seconds_ * static_cast<double>(pictures);
  if (seconds_since_process_start() + needed <= run_.settings.time_limit) return;
  settle();
  throw Error::stopped(
      ErrorCode::kTimeLimit,
      cat("time limit reached: ", run_.session.report.images + run_.session.report.skipped, "/",
          run_.wanted, " done"),
      "the same command goes on from here");
}

void BatchPictures::throw_stopped() {
  settle();
  const bool interrupted = received_signal() == SIGINT;
  throw Error::stopped(
      interrupted ? ErrorCode::kInterrupted : ErrorCode::kTerminated,
      cat(run_.session.report.images + run_.session.report.skipped, "/", run_.wanted, " done"),
      "the same command goes on from here");
}

}  // namespace ldm::app
