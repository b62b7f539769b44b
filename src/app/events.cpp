#include "ldm/app/events.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

Json event(const char* name) { return {{"event", name}, {"schema", 1}}; }

Json tokens_json(const PromptTokens& tokens) {
  return {{"token_count", tokens.token_count}, {"cut_text", tokens.cut_text}};
}

Json message_event(const char* name, std::string_view code, const std::string& message,
                   const std::string& hint) {
  Json out = event(name);
  out["code"] = code;
  out["message"] = message;
  out["hint"] = hint;
  return out;
}

}  // namespace

Json plan_event(const RunFacts& facts, const std::vector<std::filesystem::path>& outputs) {
  const Plan& plan = facts.plan;
  Json out = event("plan");
  out["request"] = request_json(plan);
  out["timesteps"] = plan.timesteps;
  out["sigmas"] = plan.sigmas;
  out["unet_calls"] = plan.unet_calls();
  if (plan.second_pass) {
    const Plan& second = *plan.second_pass;
    out["hires"] = {{"width", second.request.width},
                    {"height", second.request.height},
                    {"latent_shape", second.latent_shape},
                    {"timesteps", second.timesteps},
                    {"sigmas", second.sigmas},
                    {"unet_calls", second.steps}};
  }
  out["guided"] = plan.guided();
  out["scheduler"] = plan.scheduler_class;
  out["latent_shape"] = plan.latent_shape;
  out["memory_bytes"] = plan.memory_bytes;
  if (plan.seconds > 0) out["estimated_seconds"] = plan.seconds;
  out["prompt"] = tokens_json(plan.prompts.front().texts.front());
  out["negative_prompt"] = tokens_json(plan.negative_prompt.texts.front());
  out["model"] = facts.model_name;
  out["family"] = facts.family;
  if (!plan.loras.empty()) out["lora"] = loras_json(plan);
  if (!facts.controlnets.empty()) out["controlnet"] = controlnets_json(facts);
  out["device"] = facts.execution.device;
  out["device_name"] = facts.execution.device_name;
  out["dtype"] = facts.execution.dtype;
  if (!facts.execution.products.empty()) out["products"] = facts.execution.products;
  out["isa"] = facts.execution.isa;
  out["threads"] = facts.execution.threads;
  out["outputs"] = Json::array();
  for (const std::filesystem::path& path : outputs) out["outputs"].push_back(path.string());
  return out;
}

Json load_event(const LoadInfo& info) {
  Json out = event("load");
  out["component"] = info.component;
  out["seconds"] = info.seconds;
  out["sha256"] = info.sha256;
  out["integrity"] = info.integrity;
  return out;
}

Json step_event(const StepInfo& info, std::optional<double> left_s, double rss_bytes) {
  Json out = event("step");
  if (info.second_pass) out["stage"] = "hires";
  out["index"] = info.index;
  out["of"] = info.of;
  out["first_image"] = info.first_image;
  out["images"] = info.images;
  out["timestep"] = info.timestep;
  out["seconds"] = info.seconds;
  if (left_s) out["eta_s"] = *left_s;
  out["rss_bytes"] = rss_bytes;
  return out;
}

Json image_event(const WrittenPicture& picture, double seconds, std::optional<double> left_s) {
  Json out = event("image");
  out["path"] = picture.path.string();
  out["seed"] = picture.seed;
  out["index"] = picture.index;
  out["sha256"] = picture.sha256;
  out["seconds"] = seconds;
  if (left_s) out["eta_s"] = *left_s;
  return out;
}

Json batch_event(std::int64_t pictures, std::size_t done, const std::filesystem::path& output_dir,
                 int batch_size) {
  Json out = event("batch");
  out["pictures"] = pictures;
  out["done"] = done;
  out["output_dir"] = output_dir.string();
  out["batch_size"] = batch_size;
  return out;
}

Json failed_event(std::int64_t index, const std::string& source, const Error& error) {
  Json out = event("failed");
  out["index"] = index;
  out["source"] = source;
  out["code"] = error_code_name(error.code());
  out["message"] = error.message();
  return out;
}

Json grid_event(const std::filesystem::path& path, std::int64_t pictures, std::int64_t missing,
                const std::string& sha256) {
  Json out = event("grid");
  out["path"] = path.string();
  out["pictures"] = pictures;
  out["missing"] = missing;
  out["sha256"] = sha256;
  return out;
}

Json warning_event(const LogEvent& warning) {
  return message_event("warning", warning.code, warning.message, warning.hint);
}

Json error_event(const Error& error) {
  Json out = message_event("error", error_code_name(error.code()), error.message(), error.hint());
  if (!error.excerpt().empty()) out["excerpt"] = error.excerpt();
  return out;
}

Json done_event(const RunReport& report, int exit_code) {
  Json out = event("done");
  out["images"] = report.images;
  if (report.skipped > 0) out["skipped"] = report.skipped;
  out["failed"] = report.failed;
  out["exit_code"] = exit_code;
  const ExecutionSummary none;
  const ExecutionSummary& execution = report.execution ? *report.execution : none;
  out["device"] = execution.device;
  out["dtype"] = execution.dtype;
  if (!execution.products.empty()) out["products"] = execution.products;
  out["threads"] = execution.threads;
  out["timings"] = {{"start_to_first_step_s", report.start_to_first_step_s},
                    {"load_s", report.load_s},
                    {"text_encoder_s", report.stages.text_encoder_s},
                    {"unet_step_s", report.stages.unet_step_s},
                    {"decode_s", report.stages.decode_s},
                    {"total_s", report.total_s},
                    {"peak_rss_bytes", report.peak.rss_bytes},
                    {"peak_cuda_bytes", report.peak.cuda_bytes}};
  return out;
}

std::string event_line(const Json& event) {
  return event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ldm::app
