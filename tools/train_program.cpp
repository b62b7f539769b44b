#include "train_program.h"

#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "ldm/app/main_guard.h"
#include "ldm/app/progress.h"
#include "ldm/app/signals.h"
#include "ldm/app/tool_arguments.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/png.h"
#include "ldm/train/process_group.h"

namespace ldm::tools {
namespace fs = std::filesystem;

namespace {

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::string report_line(const train::StepReport& report) {
  std::string line = cat("step ", report.step, "/", report.of);
  for (const auto& [name, value] : report.metrics) line += cat("  ", name, " ", number(value));
  line += cat("  lr ", number(report.learning_rate), "  ", number(report.samples_per_second),
              " pictures/s  ", app::clock_text(report.remaining_seconds), " left");
  if (report.skipped > 0) line += cat("  ", report.skipped, " skipped");
  return line;
}

nlohmann::ordered_json report_event(const train::StepReport& report) {
  return {{"event", "train_step"},     {"schema", 1},
          {"step", report.step},       {"of", report.of},
          {"metrics", report.metrics}, {"learning_rate", report.learning_rate},
          {"skipped", report.skipped}, {"samples_per_second", report.samples_per_second}};
}

/// Drops the lines of steps after `last`, which a resumed run will write again.
void shorten_log(const fs::path& file, std::int64_t last) {
  std::ifstream in(file);
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (entry.is_object() && entry.value("step", std::int64_t{0}) <= last) kept += line + "\n";
  }
  if (in.eof()) write_file_atomic(file, std::string_view(kept), IfExists::kReplace);
}

void append_line(const fs::path& file, const std::string& line) {
  std::ofstream out(file, std::ios::app);
  out << line << "\n";
  if (!out.flush()) throw Error::output(cat("cannot write ", file.string()));
}

void run_program(const TrainProgram& program, std::span<const std::string> args,
                 app::Session& session) {
  TrainArguments arguments;
  int threads = 0;
  CLI::App app(program.description, program.name);
  app.add_option("CONFIG", arguments.config, "the run: one JSON file");
  app.add_flag("--resume", arguments.resume, "go on from the run's latest checkpoint");
  app.add_option("--threads", threads, "CPU threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--json", session.console.json, "one JSON event a line on stdout");
  app.add_flag("--quiet", session.console.quiet, "no information lines");
  if (!app::parse_tool_arguments(app, args, session.console)) return;
  if (arguments.config.empty()) {
    throw Error::usage("expected CONFIG.json", cat("see ", program.name, " --help"));
  }
  if (threads > 0) at::set_num_threads(threads);
  const train::RunResult result = program.run(arguments, session);
  if (!result.finished) {
    throw Error::stopped(
        app::received_signal() == SIGTERM ? ErrorCode::kTerminated : ErrorCode::kInterrupted,
        cat("stopped after step ", result.step, " of ", result.of), "go on with --resume");
  }
  if (!session.console.json && !result.checkpoint.empty()) {
    session.console.result(result.checkpoint.string());
  }
}

}  // namespace

int train_main(int argc, char** argv, const TrainProgram& program) {
  return app::main_guard(
      argc, argv,
      [&program](std::span<const std::string> args, app::Session& session) {
        run_program(program, args, session);
      },
      program.name);
}

RunFolder::RunFolder(const std::string& path)
    : folder(path),
      lock(FolderLock::alone(folder, "wait for it, or choose another /run/output_dir")) {}

std::unique_ptr<RunFolder> take_run_folder(const train::RunConfig& config,
                                           const train::RunPlace& place) {
  if (place.group->rank() != 0) return nullptr;
  std::error_code error;
  fs::create_directories(config.run.output_dir, error);
  return std::make_unique<RunFolder>(config.run.output_dir);
}

train::LoopCallbacks follow_run(const train::RunConfig& config, const train::RunPlace& place,
                                const TrainArguments& arguments, app::Session& session) {
  const bool first = place.group->rank() == 0;
  if (!first) session.console.quiet = true;
  const fs::path folder = config.run.output_dir;
  std::error_code error;
  fs::create_directories(folder / "checkpoints", error);
  check_output_folder(folder);
  const fs::path log = folder / "log.jsonl";
  if (arguments.resume && first) {
    const auto latest =
        train::Checkpoints(folder / "checkpoints", config.run.keep_checkpoints).latest();
    if (latest) shorten_log(log, train::Checkpoints::read_state(*latest).step);
  }
  train::LoopCallbacks callbacks;
  app::Console& console = session.console;
  callbacks.report = [&console, log](const train::StepReport& report) {
    const nlohmann::ordered_json event = report_event(report);
    append_line(log, event.dump());
    if (console.json) console.event(event);
    console.info(report_line(report));
  };
  callbacks.saved = [&console](const fs::path& checkpoint) {
    if (console.json) {
      console.event({{"event", "checkpoint"}, {"schema", 1}, {"path", checkpoint.string()}});
    }
    console.info(cat("saved ", checkpoint.string()));
  };
  callbacks.stop = [] { return app::received_signal() != 0; };
  return callbacks;
}

void write_sheet(const train::RunConfig& config, std::int64_t step, const Image& sheet) {
  const fs::path folder = fs::path(config.run.output_dir) / "samples";
  std::error_code error;
  fs::create_directories(folder, error);
  write_file_atomic(folder / cat("step-", step, ".png"),
                    std::span<const std::byte>(encode_png(sheet)), IfExists::kReplace);
}

void list_skipped(const train::RunConfig& config, std::span<const std::string> skipped) {
  if (skipped.empty()) return;
  std::string text;
  for (const std::string& line : skipped) text += line + "\n";
  const fs::path file = fs::path(config.run.output_dir) / "skipped.txt";
  write_file_atomic(file, std::string_view(text), IfExists::kReplace);
  log_warning("pictures-skipped",
              cat(skipped.size(), " pictures could not be read: ", skipped.front(),
                  skipped.size() > 1 ? ", …" : ""),
              cat("all are listed in ", file.string()));
}

}  // namespace ldm::tools
