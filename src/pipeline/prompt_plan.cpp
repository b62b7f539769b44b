#include "ldm/pipeline/prompt_plan.h"

#include <algorithm>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/components.h"
#include "ldm/schedulers/scheduler.h"

namespace ldm {
namespace {

/// The step (from 1) that each UNet call belongs to, of those that are run.
struct RunSteps {
  std::vector<int> of_call;
  int count = 0;
};

/// Samplers call the UNet several times for some of their steps.
RunSteps run_steps(const PlannedScheduler& planned) {
  const auto calls = static_cast<int>(planned.scheduler->timesteps().size());
  const auto step_of = [&](int call) {
    return static_cast<int>(std::int64_t{call} * planned.num_inference_steps / calls);
  };
  RunSteps steps;
  if (planned.begin >= calls) return steps;
  const int before = step_of(planned.begin);
  for (int call = planned.begin; call < calls; ++call) {
    steps.of_call.push_back(step_of(call) - before + 1);
  }
  steps.count = planned.num_inference_steps - before;
  return steps;
}

void refuse_long(const PromptTokens& tokens, const PromptReader& reader) {
  if (tokens.cut_text.empty()) return;
  throw Error::input(
      cat("the prompt has ", tokens.token_count, " tokens, ", reader.tokenizer().capacity(),
          " fit; beyond them: \"", tokens.cut_text, "\""),
      "shorten it, or use --long-prompt chunk or truncate");
}

/// Where a model's texts of all steps come from.
class TimelineMaker {
 public:
  TimelineMaker(const Components& c, const Plan& plan, RunSteps steps)
      : reader_(*c.prompts), policy_(plan.request.long_prompt), steps_(std::move(steps)) {}

  PromptTimeline plain(std::string_view prompt) const {
    PromptTimeline timeline;
    timeline.texts = {reader_.read_plain(prompt, policy_)};
    check(timeline);
    return timeline;
  }

  PromptTimeline weighted(const WeightedPrompt::Part& part, std::string_view prompt) const {
    PromptTimeline timeline;
    timeline.weight = part.weight;
    if (!changes_over_steps(part.nodes) || steps_.count == 0) {
      timeline.texts = {reader_.read(pieces_at(part.nodes, 1, 1), prompt, policy_)};
      check(timeline);
      return timeline;
    }
    timeline.texts.clear();
    std::vector<int> at_step;
    for (int step = 1; step <= steps_.count; ++step) {
      PromptTokens text = reader_.read(pieces_at(part.nodes, step, steps_.count), prompt, policy_);
      const auto found = std::find(timeline.texts.begin(), timeline.texts.end(), text);
      at_step.push_back(static_cast<int>(found - timeline.texts.begin()));
      if (found == timeline.texts.end()) timeline.texts.push_back(std::move(text));
    }
    check(timeline);
    if (timeline.texts.size() == 1) return timeline;
    for (const int step : steps_.of_call) {
      timeline.at_call.push_back(at_step[static_cast<std::size_t>(step - 1)]);
    }
    return timeline;
  }

 private:
  void check(const PromptTimeline& timeline) const {
    if (policy_ != LongPrompt::kError) return;
    for (const PromptTokens& text : timeline.texts) refuse_long(text, reader_);
  }

  const PromptReader& reader_;
  LongPrompt policy_;
  RunSteps steps_;
};

int chunks_at(const Plan& plan, std::size_t window, int call) {
  std::size_t most = plan.guided() ? plan.negative_prompt.at(call).ids.size() : 0;
  for (const PromptTimeline& prompt : plan.prompts) {
    most = std::max(most, prompt.at(call).ids.size());
  }
  return static_cast<int>(most / window);
}

void count_chunks(Plan& plan, std::size_t window) {
  plan.chunks.clear();
  for (int call = 0; call < std::max(1, plan.steps); ++call) {
    plan.chunks.push_back(chunks_at(plan, window, call));
  }
  const bool constant = std::all_of(plan.chunks.begin(), plan.chunks.end(),
                                    [&](int chunks) { return chunks == plan.chunks.front(); });
  if (constant) plan.chunks.resize(1);
}

}  // namespace

void plan_prompts(Plan& plan, const Components& c, const PlannedScheduler& scheduler) {
  const Request& request = plan.request;
  if (!c.prompts) {
    if (!request.class_label) return;
    plan.prompts.front().texts = {{{*request.class_label}, 1, {}, {}}};
    plan.negative_prompt.texts = {{{c.text_encoder->bare().null_id().value_or(0)}, 1, {}, {}}};
    return;
  }
  const TimelineMaker maker(c, plan, run_steps(scheduler));
  if (request.prompt_syntax == PromptSyntax::kPlain) {
    plan.prompts = {maker.plain(request.prompt)};
    plan.negative_prompt = maker.plain(request.negative_prompt);
  } else {
    const auto prompt = WeightedPrompt::parse(request.prompt, PromptRole::kPrompt);
    const auto negative = WeightedPrompt::parse(request.negative_prompt, PromptRole::kNegative);
    plan.prompts.clear();
    for (const WeightedPrompt::Part& part : prompt.parts()) {
      plan.prompts.push_back(maker.weighted(part, request.prompt));
    }
    plan.negative_prompt = maker.weighted(negative.parts().front(), request.negative_prompt);
  }
  // What AND joins is added to the unconditional prediction, at any scale of guidance.
  if (plan.prompts.size() > 1 && plan.branches == 1) {
    plan.branches = plan.condition == ImageCondition::kImage ? 3 : 2;
  }
  count_chunks(plan, c.tokenizer->max_length());
}

}  // namespace ldm
