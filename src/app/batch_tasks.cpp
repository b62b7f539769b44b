#include "ldm/app/batch_tasks.h"

#include <memory>
#include <utility>

#include "ldm/app/option_values.h"
#include "ldm/app/resolve.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

bool stands_alone(const Options& options) {
  return options.init_image || options.init_latents || options.mask || options.depth ||
         options.control_image || options.heatmap;
}

/// All options that tasks of one kind share.
std::string kind_text(const Options& options) {
  nlohmann::ordered_json shared;
  for (const OptionSpec& spec : option_table()) {
    const std::string key = option_key(spec);
    const bool own = key == "prompt" || key == "negative_prompt" || key == "seed" ||
                     key == "num_images" || key == "output" || key == "id" || key == "class";
    if (!own && is_job_option(spec)) shared[key] = get_as_json(spec, options);
  }
  return shared.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// Prompts of one batch are as long as each other at each step, and joined with the same weights.
std::string text_shape(const Plan& plan) {
  std::string text;
  for (const int chunks : plan.chunks) text += cat(" ", chunks);
  for (const PromptTimeline& prompt : plan.prompts)
    text += cat(" AND ", number_text(prompt.weight));
  for (const LoraChoice& lora : plan.request.loras.files) {
    text += cat(" lora ", number_text(lora.scale), " ", lora.file.string());
  }
  return text;
}

}  // namespace

TaskMaker::TaskMaker(const RunModel& model, const Pipeline& pipeline, NameTemplate names)
    : model_(model), pipeline_(pipeline), names_(std::move(names)) {}

Options TaskMaker::resolved(const Job& job) const {
  Options options = job.options;
  fill_defaults(options, model_.defaults);
  return options;
}

int TaskMaker::kind_of(const Options& options, const Plan& plan, std::size_t number) {
  std::string text = kind_text(options) + text_shape(plan);
  if (stands_alone(options)) text += cat(" job ", number);
  return kinds_.emplace(std::move(text), static_cast<int>(kinds_.size())).first->second;
}

PictureCost TaskMaker::cost_of(const Plan& plan) {
  std::vector<std::int64_t> key = plan.latent_shape;
  key.insert(key.end(), {plan.steps, static_cast<std::int64_t>(plan.predictions())});
  if (plan.second_pass) {
    const Plan& second = *plan.second_pass;
    key.insert(key.end(), {second.steps, static_cast<std::int64_t>(second.predictions()),
                           second.latent_shape[1], second.latent_shape[2]});
  }
  const auto [entry, fresh] = costs_.try_emplace(std::move(key));
  if (fresh) entry->second = pipeline_.picture_cost(plan);
  return entry->second;
}

RunFacts TaskMaker::plan(const Job& job, const Options& options, const Inputs& inputs,
                         std::int64_t k) const {
  Request request = make_request(options, inputs);
  request.seed = *job.options.seed + static_cast<std::uint64_t>(k);
  request.num_images = 1;
  RunFacts facts = model_.facts;
  add_inputs(facts, inputs);
  if (inputs.init_latents) {
    request.init_latents = one_of_latents(*inputs.init_latents, k);
    facts.first_index = static_cast<int>(k);
  }
  facts.plan = pipeline_.plan(request);
  check_eta(facts.plan);
  return facts;
}

std::vector<Task> TaskMaker::tasks(const Job& job, std::size_t number) {
  const Options options = resolved(job);
  const Inputs inputs = read_inputs(options);
  std::vector<Task> tasks;
  RunFacts facts;
  int kind = 0;
  for (std::int64_t k = 0; k < job.images(); ++k) {
    // Images of one job differ in their seeds, and in the latents that they start from.
    if (k == 0 || inputs.init_latents) facts = plan(job, options, inputs, k);
    if (k == 0) kind = kind_of(options, facts.plan, number);
    NameFields fields;
    fields.index = job.first + k;
    fields.seed = *job.options.seed + static_cast<std::uint64_t>(k);
    fields.id = options.id.value_or("");
    fields.sampler = facts.plan.request.sampler;
    fields.steps = facts.plan.request.num_inference_steps;
    Task task;
    task.index = fields.index;
    task.job = number;
    task.image = k;
    task.name =
        options.output ? named_output(*options.output, k, job.images()) : names_.name(fields);
    task.hash = job_hash(facts, fields.seed);
    task.kind = kind;
    task.width = facts.plan.last_pass().request.width;
    task.height = facts.plan.last_pass().request.height;
    task.cost = cost_of(facts.plan);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

PreparedTask TaskMaker::prepare(const Job& job, const Task& task) {
  const Options options = resolved(job);
  return {task, plan(job, options, read_inputs(options), task.image)};
}

std::vector<std::vector<std::size_t>> group_tasks(const std::vector<Task>& tasks, int batch_size) {
  std::vector<std::vector<std::size_t>> groups;
  std::map<int, std::size_t> open;  // the group of each kind that is not full
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto [entry, fresh] = open.emplace(tasks[i].kind, groups.size());
    if (fresh) groups.emplace_back();
    std::vector<std::size_t>& group = groups[entry->second];
    group.push_back(i);
    if (group.size() >= static_cast<std::size_t>(batch_size)) open.erase(entry);
  }
  return groups;
}

}  // namespace ldm::app
