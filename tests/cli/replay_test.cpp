#include <algorithm>
#include <functional>

#include "ldm/io/hash.h"
#include "ldm/io/image.h"
#include "ldm/io/safetensors.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

// Pictures made again from what they record: small ones of the default model in one step.

namespace ldm::test {
namespace {

namespace fs = std::filesystem;
using Args = std::vector<std::string>;

Args quick(const Args& more) {
  Args args = {"-p", "a red apple", "--steps", "1", "--threads", "1", "--no-progress"};
  args.insert(args.end(), more.begin(), more.end());
  if (std::find(more.begin(), more.end(), "-s") == more.end()) {
    args.insert(args.end(), {"-s", "3"});
  }
  return args;
}

void make(const TempDir& dir, const Args& more) {
  const ProgramResult result = ldm_gen_in(dir, quick(more));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void check_identical(const ProgramResult& result) {
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(has(result.err, ": identical\n"));
}

/// The picture of a file under other text.
void with_text(const TempDir& dir, const std::string& from, const std::string& to,
               const std::vector<PngText>& text) {
  write_png(dir, to, load_image(dir / from), text);
}

/// The same with some of its settings changed.
void tamper(const TempDir& dir, const std::string& from, const std::string& to,
            const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json settings = settings_of(dir / from);
  change(settings);
  with_text(dir, from, to, {{"ldm-gen", settings.dump()}});
}

nlohmann::json replay_event(const ProgramResult& result) {
  for (const nlohmann::json& event : events(result.out)) {
    if (event["event"] == "replay") return event;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a picture is made again, the same to its last byte") {
  const TempDir dir;
  make(dir, {"-n", "blurry", "-g", "4.25", "-o", "a.png", "--save-latents", "l.safetensors"});
  const nlohmann::json stages = settings_of(dir / "a.png")["stages"];
  CHECK(stages.size() == 5);
  const Image image = load_image(dir / "a.png");
  CHECK(stages["picture"] == sha256_hex(std::as_bytes(std::span(image.rgb))));
  const SafetensorsFile file(dir / "l.safetensors");
  std::vector<std::byte> latents(file.find("latents")->byte_size());
  file.read(*file.find("latents"), latents);
  CHECK(stages["latents"] == sha256_hex(latents));

  const ProgramResult again = ldm_gen_in(dir, {"replay", "a.png", "-o", "b.png"});
  check_identical(again);
  CHECK(again.out == "b.png\n");
  CHECK(slurp(dir / "a.png") == slurp(dir / "b.png"));

  const ProgramResult json = ldm_gen_in(dir, {"replay", "a.png", "--json"});
  CHECK(json.exit_code == 0);
  const nlohmann::json event = replay_event(json);
  CHECK(event["identical"] == true);
  CHECK(event["first_difference"].is_null());
  REQUIRE(event["stages"].size() == 5);
  for (const nlohmann::json& stage : event["stages"]) CHECK(stage["same"] == true);
  CHECK(event["pixels"]["largest_difference"] == 0);
  CHECK(events(json.out).back()["event"] == "done");
  CHECK(files_below(dir.path()) == Args{"a.png", "b.png", "l.safetensors"});
}

TEST_CASE("pictures of a run of several and of a batch are made again alone") {
  const TempDir dir;
  make(dir, {"-N", "3", "--batch-size", "1", "-o", "n.png"});
  check_identical(ldm_gen_in(dir, {"replay", "n-0003.png"}));
  dir.write("p.txt", "a cat\na dog\na cat\n");
  REQUIRE(ldm_gen_in(dir, {"--prompts", "p.txt", "--steps", "1", "-s", "9", "--output-dir", "out",
                           "--batch-size", "2"})
              .exit_code == 0);
  for (const char* name : {"out/000001-10.png", "out/000002-11.png"}) {
    check_identical(ldm_gen_in(dir, {"replay", name}));
  }
}

TEST_CASE("the first stage that differs is named") {
  const TempDir dir;
  make(dir, {"-o", "a.png"});
  struct Case {
    std::string stage;
    std::function<void(nlohmann::json&)> change;
  };
  const std::vector<Case> cases = {
      {"tokens", [](auto& s) { s["request"]["prompt"] = "a green pear"; }},
      {"first_latents", [](auto& s) { s["seed"] = 4; }},
      {"latents", [](auto& s) { s["request"]["guidance_scale"] = 2.5; }},
      {"embeddings", [](auto& s) { s["stages"]["embeddings"] = std::string(64, '0'); }},
      {"picture", [](auto& s) { s["stages"]["picture"] = std::string(64, '0'); }}};
  for (const Case& c : cases) {
    INFO(c.stage);
    tamper(dir, "a.png", "t.png", c.change);
    const ProgramResult result = ldm_gen_in(dir, {"replay", "t.png"});
    INFO(result.err);
    CHECK(result.exit_code == 8);
    CHECK(result.out.empty());
    CHECK(has(result.err, "t.png: first differs at " + c.stage + "; "));
    CHECK(has(result.err, "hint: "));
  }
  tamper(dir, "a.png", "t.png", [](auto& s) {
    s["seed"] = 4;
    s["libtorch"] = "1.0";
  });
  const ProgramResult json = ldm_gen_in(dir, {"replay", "t.png", "--json", "-o", "new.png"});
  CHECK(json.exit_code == 8);
  const nlohmann::json event = replay_event(json);
  CHECK(event["identical"] == false);
  CHECK(event["first_difference"] == "first_latents");
  CHECK(event["stages"][1]["same"] == true);
  CHECK(event["stages"][3]["same"] == false);
  CHECK(event["pixels"]["largest_difference"] > 0);
  CHECK(event["pixels"]["psnr_db"] > 0);
  CHECK(has(json.err, "libtorch"));
  CHECK(fs::exists(dir / "new.png"));
}

TEST_CASE("pixels changed after a picture was made are found") {
  const TempDir dir;
  make(dir, {"-o", "a.png"});
  Image image = load_image(dir / "a.png");
  image.rgb[100] ^= 8;
  write_png(dir, "t.png", image, text_of(dir / "a.png"));
  const ProgramResult result = ldm_gen_in(dir, {"replay", "t.png"});
  CHECK(result.exit_code == 8);
  CHECK(has(result.err, "t.png: pixels differ by up to 8 of 255, PSNR "));
  CHECK(has(result.err, "hint: the file's pixels were changed"));
}

TEST_CASE("files that a picture was made from must be given, and the same ones") {
  const TempDir dir;
  // A width that may be brought by a picture but not asked for.
  Image start{68, 64, std::vector<std::uint8_t>(std::size_t{68} * 64 * 3)};
  for (std::size_t i = 0; i < start.rgb.size(); ++i) start.rgb[i] = static_cast<std::uint8_t>(i);
  write_png(dir, "start.png", start);
  start.rgb[0] ^= 1;
  write_png(dir, "other.png", start);
  make(dir, {"-o", "plain.png"});
  make(dir, {"-i", "start.png", "--strength", "0.7", "--strength-mode", "exact", "-o", "a.png"});
  const ProgramResult lacking = ldm_gen_in(dir, {"replay", "a.png"});
  CHECK(lacking.exit_code == 2);
  CHECK(has(lacking.err,
            "add --init-image FILE, the one with SHA-256 " + sha256_file(dir / "start.png")));
  const ProgramResult wrong = ldm_gen_in(dir, {"replay", "a.png", "-i", "other.png"});
  CHECK(wrong.exit_code == 3);
  CHECK(has(wrong.err, "--init-image is not the one it was made with"));
  check_identical(ldm_gen_in(dir, {"replay", "a.png", "-i", "start.png"}));
  CHECK(ldm_gen_in(dir, {"replay", "plain.png", "-i", "other.png"}).exit_code == 2);
}

TEST_CASE("latents to begin with are found among several") {
  const TempDir dir;
  make(dir, {"-N", "2", "-o", "n.png", "--save-latents", "l.safetensors"});
  const Args from = {"--init-latents", "l.safetensors"};
  make(dir, {from[0], from[1], "-N", "2", "--batch-size", "1", "-o", "m.png"});
  check_identical(ldm_gen_in(dir, {"replay", "m-0002.png", from[0], from[1]}));
  dir.write("p.txt", "a cat\n");
  REQUIRE(ldm_gen_in(dir, {"--prompts", "p.txt", "--steps", "1", "-s", "9", "--output-dir", "out",
                           "-N", "2", from[0], from[1]})
              .exit_code == 0);
  check_identical(ldm_gen_in(dir, {"replay", "out/000001-10.png", from[0], from[1]}));
}

TEST_CASE("other weights are told and named with the stage") {
  const TempDir dir;
  make(dir, {"-o", "a.png"});
  const fs::path model = linked_model(dir);
  const fs::path weights = model / "vae" / "diffusion_pytorch_model.safetensors";
  const SafetensorsFile file(weights);
  const TensorInfo& bias = *file.find("decoder.conv_out.bias");
  std::vector<std::byte> values(bias.byte_size());
  file.read(bias, values);
  std::string bytes = slurp(weights);
  const std::size_t at =
      bytes.rfind(std::string(reinterpret_cast<const char*>(values.data()), values.size()));
  REQUIRE(at != std::string::npos);
  bytes.replace(at, values.size(), std::string(values.size(), '\0'));
  // Weights that nobody vouches for: the file's own checksums go under another name.
  constexpr std::string_view kOwn = "\"sha256";
  for (std::size_t own = bytes.find(kOwn); own != std::string::npos; own = bytes.find(kOwn, own)) {
    bytes.replace(own, kOwn.size(), "\"former");
  }
  replace_file(weights, bytes, dir);
  const ProgramResult result = ldm_gen_in(dir, {"replay", "a.png", "--model", "model"});
  INFO(result.err);
  CHECK(result.exit_code == 8);
  CHECK(has(result.err, "first differs at picture; "));
  CHECK(has(result.err, "vae: these are not the weights it was made with"));
  CHECK(has(result.err, "vae weights "));
  CHECK_FALSE(has(result.err, "unet weights "));
}

TEST_CASE("a fast picture is recorded as such, and replayed as it was") {
  const TempDir dir;
  make(dir, {"-o", "plain.png"});
  make(dir, {"-o", "fast.png", "--fast"});
  make(dir, {"-o", "pair.png", "--fast", "-N", "2", "-s", "2", "--batch-size", "2"});
  const nlohmann::json settings = settings_of(dir / "fast.png");
  CHECK(settings["fast"] == true);
  CHECK_FALSE(settings_of(dir / "plain.png").contains("fast"));
  // In 8 bits, where this CPU has them, a picture is another one.
  const Image fast = load_image(dir / "fast.png");
  CHECK((fast.rgb != load_image(dir / "plain.png").rgb) == settings.contains("products"));
  CHECK(fast.rgb == load_image(dir / "pair-0002.png").rgb);
  check_identical(ldm_gen_in(dir, {"replay", "fast.png"}));
  check_identical(ldm_gen_in(dir, {"replay", "pair-0002.png", "--threads", "2"}));
}

TEST_CASE("the parameters text is replayed by its settings, compared by pixels") {
  const TempDir dir;
  make(dir, {"-n", "blurry", "--sampler", "euler-a", "--metadata", "a1111", "-o", "a.png"});
  const ProgramResult own = ldm_gen_in(dir, {"replay", "a.png", "--threads", "1"});
  check_identical(own);
  CHECK(has(own.err, "only its pixels can be compared"));
  with_text(dir, "a.png", "t.png",
            {{"parameters",
              "a red (apple:1.2)\nSteps: 2, Sampler: Foo++, Seed: 3, "
              "Schedule type: Karras, Model hash: 0123456789"}});
  const ProgramResult foreign = ldm_gen_in(dir, {"replay", "t.png", "-o", "new.png"});
  INFO(foreign.err);
  CHECK(foreign.exit_code == 8);
  for (const char* part :
       {"sampler: \"Foo++\" is not taken over", "schedule_type: \"Karras\" is not taken over",
        "guidance_scale is not recorded", "width is not recorded", "does not begin with 0123456789",
        "t.png: pixels differ by up to "}) {
    INFO(part);
    CHECK(has(foreign.err, part));
  }
  CHECK(foreign.out == "new.png\n");
  with_text(dir, "a.png", "t.png", {{"parameters", "x\nSteps: 2, Sampler: DDIM"}});
  CHECK(ldm_gen_in(dir, {"replay", "t.png"}).exit_code == 3);
}

TEST_CASE("hostile settings are refused in one line that names the field") {
  const TempDir dir;
  make(dir, {"-o", "a.png"});
  const std::vector<std::pair<std::string, std::function<void(nlohmann::json&)>>> cases = {
      {"/request/steps", [](auto& s) { s["request"]["steps"] = 1e9; }},
      {"/request/output", [](auto& s) { s["request"]["output"] = "/tmp/x.png"; }},
      {"/stages/latents", [](auto& s) { s["stages"]["latents"] = nlohmann::json::array(); }},
      {"prompt", [](auto& s) { s["request"]["prompt"] = std::string(100000, 'x'); }},
      {"/request/width", [](auto& s) { s["request"]["width"] = 1000000; }}};
  for (const auto& [field, change] : cases) {
    INFO(field);
    tamper(dir, "a.png", "t.png", change);
    const ProgramResult result = ldm_gen_in(dir, {"replay", "t.png"});
    INFO(result.err);
    CHECK(result.exit_code == 3);
    CHECK(has(result.err, field));
    CHECK(lines(result.err).size() <= 2);
  }
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "[";
  for (const std::string& text : {deep, std::string("{}"), std::string("\"x\"")}) {
    with_text(dir, "a.png", "t.png", {{"ldm-gen", text}});
    CHECK(ldm_gen_in(dir, {"replay", "t.png"}).exit_code == 3);
  }
  tamper(dir, "a.png", "t.png", [](auto& s) { s["model"] = "/etc/passwd"; });
  CHECK(ldm_gen_in(dir, {"replay", "t.png"}).exit_code == 2);
  CHECK(ldm_gen_in(dir, {"replay", "none.png"}).exit_code == 3);
  CHECK(ldm_gen_in(dir, {"replay"}).exit_code == 2);
}

TEST_CASE("no text is left in a picture by --metadata none") {
  const TempDir dir;
  make(dir, {"--metadata", "none", "-o", "a.png"});
  CHECK(text_of(dir / "a.png").empty());
  const std::string bytes = slurp(dir / "a.png");
  for (const char* chunk : {"tEXt", "zTXt", "iTXt", "eXIf", "tIME"}) CHECK(!has(bytes, chunk));
  const ProgramResult result = ldm_gen_in(dir, {"replay", "a.png"});
  CHECK(result.exit_code == 3);
  CHECK(has(result.err, "a.png: it does not say how it was made"));
}

}  // namespace ldm::test
