#include "ldm/loading/model_schedule.h"

#include <string>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/config_fields.h"

namespace ldm {

const SamplerEntry& default_sampler(const ModelFiles& files) {
  const auto name = files.scheduler_config.find("_class_name");
  if (name == files.scheduler_config.end() || !name->is_string()) {
    throw Error::model(cat(files.scheduler_source, ": no _class_name"),
                       "choose a sampler with --sampler");
  }
  return find_sampler_by_class(name->get<std::string>());
}

SchedulerConfig scheduler_config(const ModelFiles& files, const SamplerEntry& sampler) {
  SchedulerConfig config = sampler.defaults();
  // A file made for another class has fields that this one does not know: not worth a warning.
  read_fields(files.scheduler_config, config, files.scheduler_source);
  if (!sampler.traits.reads_zero_snr) config.rescale_betas_zero_snr = false;
  return config;
}

}  // namespace ldm
