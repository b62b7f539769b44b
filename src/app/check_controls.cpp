#include "ldm/app/check_controls.h"

#include <algorithm>
#include <optional>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

void check_preview(const Options& options, std::vector<Problem>& problems) {
  if (options.preview) return;
  if (options.preview_every) {
    problems.push_back({"--preview-every needs a file for the previews", "add --preview FILE"});
  }
  if (options.preview_vae) {
    problems.push_back({"--preview-vae needs a file for the previews", "add --preview FILE"});
  }
}

void check_guidance(const Options& options, std::vector<Problem>& problems) {
  if (options.guidance_interval) {
    const std::vector<double> ends = parse_numbers(*options.guidance_interval, 2);
    if (ends.empty() || !(ends[0] >= 0 && ends[0] <= ends[1] && ends[1] <= 1)) {
      problems.push_back({cat("--guidance-interval: \"", *options.guidance_interval,
                              "\" is not two numbers A,B with 0 ≤ A ≤ B ≤ 1"),
                          "--guidance-interval 0.2,0.8"});
    }
  }
  if (options.pag_layers && options.pag_scale.value_or(0) == 0) {
    problems.push_back({"--pag-layers needs perturbed-attention guidance", "add --pag-scale 3"});
  }
}

void check_freeu(const Options& options, std::vector<Problem>& problems) {
  if (!options.freeu) return;
  constexpr double kMost = 10;
  const std::vector<double> factors = parse_numbers(*options.freeu, 4);
  const auto usable = [](double x) { return x > 0 && x <= kMost; };
  if (!factors.empty() && std::all_of(factors.begin(), factors.end(), usable)) return;
  problems.push_back({cat("--freeu: \"", *options.freeu,
                          "\" is not four numbers B1,B2,S1,S2 above 0 and up to ", kMost),
                      "--freeu 1.5,1.6,0.9,0.2"});
}

void check_canny(const Options& options, std::size_t pictures, std::vector<Problem>& problems) {
  if (!options.canny) return;
  for (const std::string& text : *options.canny) {
    const std::vector<double> ends = parse_numbers(text, 2);
    const bool usable = !ends.empty() && ends[0] >= 0 && ends[0] <= ends[1];
    if (usable || text == "off") continue;
    problems.push_back(
        {cat("--canny: \"", text, "\" is not two numbers LOW,HIGH with 0 ≤ LOW ≤ HIGH"),
         "--canny 100,200"});
  }
  if (options.canny->size() != 1 && options.canny->size() != pictures) {
    problems.push_back({cat("--canny is given ", options.canny->size(), " times for ", pictures,
                            " control images"),
                        "give it once for all, or once for each, with off for none"});
  }
}

void check_control(const Options& options, std::vector<Problem>& problems) {
  const std::size_t pictures = options.control_image ? options.control_image->size() : 0;
  check_canny(options, pictures, problems);
  if (options.control_start.value_or(0) > options.control_end.value_or(1)) {
    problems.push_back(
        {cat("--control-start ", number_text(*options.control_start), " is behind --control-end ",
             number_text(options.control_end.value_or(1))),
         {}});
  }
  if (pictures > 0) return;
  if (options.canny || options.control_start || options.control_end) {
    problems.push_back({"--canny, --control-start and --control-end need a control image",
                        "add --controlnet PATH --control-image FILE"});
  }
}

}  // namespace

std::vector<double> parse_numbers(std::string_view text, std::size_t count) {
  std::vector<double> numbers;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::optional<double> number = parse_real(text.substr(begin, end - begin));
    if (!number) return {};
    numbers.push_back(*number);
    begin = end + 1;
  }
  return numbers.size() == count ? numbers : std::vector<double>();
}

std::vector<Problem> check_controls(const Options& options) {
  std::vector<Problem> problems;
  check_preview(options, problems);
  check_guidance(options, problems);
  check_freeu(options, problems);
  check_control(options, problems);
  return problems;
}

}  // namespace ldm::app
