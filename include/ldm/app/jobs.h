#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/app/line_reader.h"
#include "ldm/app/option_values.h"
#include "ldm/app/options.h"

namespace ldm::app {

/// What one or several pictures are made from: a line of a jobs file, a prompt, or the command line
/// itself.
struct Job {
  std::string source;           ///< "jobs.jsonl:17"; "the command line"
  Options options;              ///< the job's own over those of the command line; with a seed
  std::int64_t first = 0;       ///< number of its first picture in the batch, from 0
  std::size_t line = 0;         ///< number of what it was read from, from 0
  std::size_t combination = 0;  ///< of the sweeps' values, the last sweep changing fastest

  std::int64_t images() const { return options.num_images.value_or(1); }
};

/// What is wrong with one job.
struct JobFault {
  std::string source;
  std::string message;
  std::string hint;
  std::int64_t first = 0;  ///< number of the picture that it would have made
};

/// An option that --sweep varies.
struct SweepAxis {
  std::string key;                  ///< "guidance-scale"
  std::vector<std::string> values;  ///< as they were typed
};

/// Whether these options make a batch: they name jobs or a folder for the pictures.
bool is_batch(const Options& options);

/// Reads the jobs of a run, each checked by itself: --jobs, --prompts or the command line, times
/// --sweep. A job without a seed gets the run's plus the number of pictures before it, so that all
/// values of a sweep see the same noise.
class JobReader {
 public:
  /// `run` has a seed. Throws Error::usage for sweeps that cannot be, Error::input for the file.
  explicit JobReader(const Options& run);

  /// Appends the jobs of the next line, or what is wrong with it; false at the end. A line that
  /// cannot be used takes the number of one picture.
  bool next(std::vector<Job>& jobs, std::vector<JobFault>& faults);
  /// Whether jobs come from stdin, while others are being computed.
  bool streams() const { return lines_ && lines_->is_stdin(); }
  const std::vector<SweepAxis>& axes() const { return axes_; }

 private:
  std::vector<Problem> read_line(const std::string& line, Options& options) const;

  Options run_;
  std::vector<SweepAxis> axes_;
  std::vector<Options> sweep_;  ///< each combination of values; one empty without a sweep
  std::optional<LineReader> lines_;
  bool is_json_ = false;
  bool ended_ = false;
  std::int64_t next_ = 0;
  std::size_t line_ = 0;
  std::uint64_t seed_offset_ = 0;
};

}  // namespace ldm::app
