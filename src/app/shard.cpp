#include "ldm/app/shard.h"

#include <string_view>

#include "ldm/app/option_values.h"
#include "ldm/core/environment.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

constexpr std::int64_t kMostShards = std::int64_t{1} << 20;

std::optional<std::int64_t> number_in(const char* name) {
  const std::string text = environment(name);
  if (text.empty()) return std::nullopt;
  const auto value = parse_integer(text);
  if (!value || *value < 0) throw Error::usage(cat(name, "=", text, " is not a whole number"));
  return value;
}

Shard checked(std::int64_t index, std::int64_t count, const std::string& from) {
  if (count < 1 || count > kMostShards || index < 0 || index >= count) {
    throw Error::usage(cat(from, ": there is no shard ", index, " of ", count),
                       "shards are 0/N, 1/N … N-1/N");
  }
  return {index, count, std::nullopt};
}

/// Tasks of one job step, times those of a job array.
std::optional<Shard> from_slurm() {
  const auto task = number_in("SLURM_PROCID");
  const auto tasks = number_in("SLURM_NTASKS");
  const auto element = number_in("SLURM_ARRAY_TASK_ID");
  const auto elements = number_in("SLURM_ARRAY_TASK_COUNT");
  const bool has_tasks = task && tasks;
  if (!has_tasks && !(element && elements)) return std::nullopt;
  const Shard inner = has_tasks ? checked(*task, *tasks, "SLURM_PROCID/SLURM_NTASKS") : Shard();
  if (!element || !elements) return inner;
  const std::int64_t first = number_in("SLURM_ARRAY_TASK_MIN").value_or(0);
  const std::int64_t step = number_in("SLURM_ARRAY_TASK_STEP").value_or(1);
  const Shard outer = checked((*element - first) / (step > 0 ? step : 1), *elements,
                              "SLURM_ARRAY_TASK_ID/SLURM_ARRAY_TASK_COUNT");
  return checked(outer.index * inner.count + inner.index, outer.count * inner.count,
                 "--shard auto");
}

Shard from_environment() {
  const auto rank = number_in("RANK");
  const auto world = number_in("WORLD_SIZE");
  if (rank && world) return checked(*rank, *world, "RANK/WORLD_SIZE");
  if (const auto slurm = from_slurm()) return *slurm;
  throw Error::usage("--shard auto: no launcher has said which shard this is",
                     "start it with torchrun --no-python or srun, or name it: --shard 0/4");
}

}  // namespace

Shard read_shard(const std::string& text) {
  Shard shard;
  if (text == "auto") {
    shard = from_environment();
  } else {
    const std::size_t slash = text.find('/');
    const auto index = parse_integer(std::string_view(text).substr(0, slash));
    const auto count = slash == std::string::npos
                           ? std::nullopt
                           : parse_integer(std::string_view(text).substr(slash + 1));
    if (!index || !count) {
      throw Error::usage(cat("--shard: \"", text, "\" is not I/N"), "for example --shard 0/4");
    }
    shard = checked(*index, *count, "--shard");
  }
  auto local = number_in("LOCAL_RANK");
  if (!local) local = number_in("SLURM_LOCALID");
  if (local) shard.local_rank = static_cast<int>(*local);
  return shard;
}

double read_time_limit(const std::string& text) {
  double seconds = 0;
  std::string_view rest = text;
  bool fine = !rest.empty();
  while (fine && !rest.empty()) {
    const std::size_t unit = rest.find_first_not_of("0123456789.");
    const auto number = parse_real(rest.substr(0, unit));
    const char letter = unit == std::string_view::npos ? 's' : rest[unit];
    const double scale = letter == 'h' ? 3600 : letter == 'm' ? 60 : letter == 's' ? 1 : 0;
    fine = number && scale > 0;
    if (!fine) break;
    seconds += *number * scale;
    rest.remove_prefix(unit == std::string_view::npos ? rest.size() : unit + 1);
  }
  if (fine && seconds > 0) return seconds;
  throw Error::usage(cat("--time-limit: \"", text, "\" is not a time"),
                     "for example 3h50m, 45m, 90s");
}

}  // namespace ldm::app
