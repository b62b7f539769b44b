#include "ldm/schedulers/schedule_choice.h"

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr double kMostSigma = 10000;
constexpr double kMostRho = 100;
constexpr std::size_t kMostListed = 1000;

void check_list(const std::vector<double>& values, const char* what, double least, double most) {
  if (values.size() > kMostListed) {
    throw Error::usage(
        cat(what, " lists ", values.size(), " values; at most ", kMostListed, " work"));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] >= least && values[i] <= most)) {
      throw Error::usage(cat(what, ": ", values[i], " is outside ", least, "…", most));
    }
    if (i > 0 && values[i] >= values[i - 1]) {
      throw Error::usage(cat(what, " must fall: ", values[i], " stands after ", values[i - 1]));
    }
  }
}

}  // namespace

std::vector<std::string> schedule_names() {
  return {"default", "karras", "exponential", "polyexponential", "beta", "sgm-uniform", "ays"};
}

void check_choice(const ScheduleChoice& choice, int num_train_timesteps) {
  const std::vector<std::string> names = schedule_names();
  if (std::find(names.begin(), names.end(), choice.name) == names.end()) {
    throw Error::usage(cat("unknown schedule \"", escape_control(choice.name), "\""),
                       did_you_mean(choice.name, names));
  }
  if (!choice.sigmas.empty() && !choice.timesteps.empty()) {
    throw Error::usage("--sigmas and --timesteps both list the noise levels", "give one of them");
  }
  if (choice.listed() && choice.name != "default") {
    throw Error::usage(
        cat("--schedule ", choice.name, " and --", choice.sigmas.empty() ? "timesteps" : "sigmas",
            " both say what the noise levels are"),
        "give one of them");
  }
  check_list(choice.sigmas, "--sigmas", 0, kMostSigma);
  check_list(choice.timesteps, "--timesteps", 0, num_train_timesteps - 1);
  if (choice.sigmas.size() == 1 && choice.sigmas.front() == 0) {
    throw Error::usage("--sigmas 0 leaves no step to make", "begin with a level above 0");
  }
  if (!choice.rho) return;
  if (!(*choice.rho > 0 && *choice.rho <= kMostRho)) {
    throw Error::usage(cat("--schedule-rho ", *choice.rho, " is outside 0…", kMostRho));
  }
  if (choice.name != "karras" && choice.name != "polyexponential") {
    throw Error::usage(cat("--schedule-rho works with the schedules karras and polyexponential, ",
                           "not with ", choice.name),
                       "--schedule karras");
  }
}

}  // namespace ldm
