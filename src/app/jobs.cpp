#include "ldm/app/jobs.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "ldm/app/check_options.h"
#include "ldm/app/inputs.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"

namespace ldm::app {
namespace {

/// "V1,V2" → its values; "\," is a comma within one.
std::vector<std::string> split_values(std::string_view text) {
  std::vector<std::string> values(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == ',') {
      values.back() += text[++i];
    } else if (text[i] == ',') {
      values.emplace_back();
    } else {
      values.back() += text[i];
    }
  }
  return values;
}

const OptionSpec& swept_option(const std::string& text, std::size_t equals) {
  std::string key = text.substr(0, equals);
  std::replace(key.begin(), key.end(), '-', '_');
  const OptionSpec* spec = find_option(key);
  const bool fits = spec != nullptr && is_job_option(*spec) && key != "output" && key != "id";
  if (equals != std::string::npos && fits) return *spec;
  std::vector<std::string> known;
  for (const OptionSpec& row : option_table()) {
    if (is_job_option(row)) known.push_back(long_flag(row).substr(2));
  }
  if (equals == std::string::npos) {
    throw Error::usage(cat("--sweep: \"", text, "\" is not KEY=V1,V2"),
                       "for example --sweep guidance-scale=3,5,7.5");
  }
  throw Error::usage(cat("--sweep: ", key, " cannot be swept"), did_you_mean(key, known));
}

std::vector<SweepAxis> read_axes(const std::vector<std::string>& sweeps) {
  std::vector<SweepAxis> axes;
  for (const std::string& text : sweeps) {
    const std::size_t equals = text.find('=');
    const OptionSpec& spec = swept_option(text, equals);
    axes.push_back(
        {long_flag(spec).substr(2), split_values(std::string_view(text).substr(equals + 1))});
  }
  return axes;
}

/// All combinations of the values of all sweeps, the last one changing fastest.
std::vector<Options> combine(const std::vector<SweepAxis>& axes) {
  constexpr std::size_t kMost = 1'000'000;
  std::vector<Options> combinations(1);
  for (const SweepAxis& axis : axes) {
    const OptionSpec& spec = swept_option(axis.key + "=", axis.key.size());
    std::vector<Options> longer;
    for (const Options& before : combinations) {
      for (const std::string& value : axis.values) {
        Options options = before;
        if (auto problem = set_from_text(spec, value, options)) {
          throw Error::usage(cat("--sweep: ", problem->message), problem->hint);
        }
        longer.push_back(std::move(options));
      }
    }
    if (longer.size() > kMost) throw Error::usage("--sweep: more than 1,000,000 combinations");
    combinations = std::move(longer);
  }
  return combinations;
}

Problem unknown_key(const std::string& key, bool of_the_run) {
  if (of_the_run) {
    return {cat("/", key, ": holds for the whole run, not for one job"),
            cat("give it on the command line, or in the --config file")};
  }
  static const std::vector<std::string> known = [] {
    std::vector<std::string> keys;
    for (const OptionSpec& spec : option_table()) {
      if (is_job_option(spec)) keys.push_back(option_key(spec));
    }
    return keys;
  }();
  return {cat("/", key, ": unknown key"), did_you_mean(key, known)};
}

std::vector<Problem> read_json_line(const std::string& line, Options& options) {
  nlohmann::json object;
  JsonLimits limits;
  limits.max_depth = 8;
  if (const auto fault = try_parse_json(line, limits, object)) {
    return {{cat("byte ", fault->offset, ": ", fault->text),
             "a job is one JSON object a line, such as {\"prompt\": \"a cat\", \"seed\": 7}"}};
  }
  if (!object.is_object()) {
    return {{cat("expected a JSON object, found ", object.type_name()),
             "a job is one JSON object a line, such as {\"prompt\": \"a cat\", \"seed\": 7}"}};
  }
  std::vector<Problem> problems;
  for (const auto& [key, value] : object.items()) {
    const OptionSpec* spec = find_option(key);
    const bool usable = spec != nullptr && is_job_option(*spec);
    auto problem =
        usable ? set_from_json(*spec, value, options) : unknown_key(key, spec != nullptr);
    if (problem) problems.push_back(*std::move(problem));
  }
  return problems;
}

std::vector<Problem> check_job(const Options& options) {
  std::vector<Problem> problems = check_options(options);
  if (auto problem = prompt_problem(options.prompt.value_or(""))) problems.push_back(*problem);
  if (auto problem = prompt_problem(options.negative_prompt.value_or(""))) {
    problem->message = "negative prompt: " + problem->message;
    problems.push_back(*problem);
  }
  if (!problems.empty()) return problems;
  try {
    check_prompt_syntax(options, options.prompt.value_or(""), options.negative_prompt.value_or(""));
  } catch (const Error& error) {
    problems.push_back({error.message(), error.hint()});
  }
  return problems;
}

JobFault fault_of(const std::string& source, const std::vector<Problem>& problems) {
  JobFault fault;
  fault.source = source;
  std::vector<std::string> messages;
  for (const Problem& problem : problems) {
    messages.push_back(problem.message);
    if (fault.hint.empty()) fault.hint = problem.hint;
  }
  fault.message = join(messages, "; ");
  return fault;
}

bool is_skipped(const std::string& line) {
  const std::size_t first = line.find_first_not_of(" \t");
  return first == std::string::npos || line[first] == '#';
}

}  // namespace

bool is_batch(const Options& options) {
  return options.jobs || options.prompts || options.sweep || options.output_dir;
}

JobReader::JobReader(const Options& run)
    : run_(run),
      axes_(read_axes(run.sweep.value_or(std::vector<std::string>()))),
      sweep_(combine(axes_)),
      is_json_(run.jobs.has_value()) {
  if (run.jobs || run.prompts) lines_.emplace(run.jobs ? *run.jobs : *run.prompts);
}

std::vector<Problem> JobReader::read_line(const std::string& line, Options& options) const {
  if (is_json_) return read_json_line(line, options);
  options.prompt = line;
  return {};
}

bool JobReader::next(std::vector<Job>& jobs, std::vector<JobFault>& faults) {
  if (ended_) return false;
  Options own;
  std::vector<Problem> problems;
  std::string source = "the command line";
  if (lines_) {
    std::optional<std::string> line = lines_->next();
    while (line && is_skipped(*line)) line = lines_->next();
    if (!line) return !(ended_ = true);
    source = lines_->source();
    problems = read_line(*line, own);
  } else {
    ended_ = true;
  }
  if (!problems.empty()) {
    faults.push_back(fault_of(source, problems));
    faults.back().first = next_++;
    ++seed_offset_;
    return true;
  }
  std::uint64_t most_images = 1;
  for (std::size_t combination = 0; combination < sweep_.size(); ++combination) {
    Job job{source, sweep_[combination], next_, line_, combination};
    fill_unset(job.options, own);
    if (!job.options.seed) job.options.seed = run_.seed.value_or(0) + seed_offset_;
    fill_unset(job.options, run_);
    problems = check_job(job.options);
    if (problems.empty()) {
      next_ += job.images();
      most_images = std::max(most_images, static_cast<std::uint64_t>(job.images()));
      jobs.push_back(std::move(job));
    } else {
      faults.push_back(fault_of(source, problems));
      faults.back().first = next_++;
    }
  }
  seed_offset_ += most_images;
  ++line_;
  return true;
}

}  // namespace ldm::app
