#include "ldm/app/gallery.h"

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/app/recorded_settings.h"
#include "ldm/app/shell_words.h"
#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/run_program.h"

namespace ldm::app {
namespace {

std::string value(const std::vector<Setting>& settings, const std::string& name) {
  const std::string* found = find_setting(settings, name);
  return found == nullptr ? "(none)" : *found;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string kOwn = R"({"schema": 1, "seed": 18446744073709551615, "index": 3,
    "request": {"prompt": "a \"red\" apple's", "negative_prompt": "", "seed": 7, "steps": 12,
                "guidance_scale": 7.5, "eta": 0.0, "sampler": "ddim", "clip_skip": 0,
                "width": 64, "height": 96, "vae_tiling": "auto"},
    "model": "default", "lora": [{"name": "ink", "sha256": "aa", "scale": 0.6}],
    "weights": {"unet": "bb"}, "init_image_sha256": "cc", "dtype": "fp32"})";

TEST_CASE("words survive every shell that reads them back") {
  CHECK(shell_quoted("plain-1.5_a/b:c@d%e+f,g") == "plain-1.5_a/b:c@d%e+f,g");
  CHECK(shell_quoted("") == "''");
  CHECK(shell_quoted("=ls") == "'=ls'");
  CHECK(shell_quoted("it's $(rm) `x` \\ é") == "'it'\\''s $(rm) `x` \\ é'");
  CHECK(shell_quoted("a\nb\x1b[31m1") == "$'a\\nb\\x1b[31m1'");
  CHECK(shell_quoted("\x7f"
                     "0") == "$'\\x7f'$'0'");
  const std::vector<std::string> words = {"printf",
                                          "%s|",
                                          "a b",
                                          "it's",
                                          "*",
                                          "$HOME",
                                          "!x",
                                          "~",
                                          "\x1b[2J\n'\\",
                                          "\xe2\x80\xae"
                                          "abc",
                                          "#no",
                                          "é",
                                          ""};
  std::string expected;
  for (std::size_t i = 2; i < words.size(); ++i) expected += words[i] + "|";
  CHECK(test::run_program({"bash", "-c", shell_command(words)}).out == expected);
}

TEST_CASE("own settings are flat, and the picture's seed is its own") {
  const auto settings = recorded_settings(
      std::vector<PngText>{{"parameters", "x\nSteps: 1"}, {"ldm-gen", kOwn}}, "a.png");
  CHECK(value(settings, "seed") == "18446744073709551615");
  CHECK(value(settings, "prompt") == "a \"red\" apple's");
  CHECK(value(settings, "guidance_scale") == "7.5");
  CHECK(value(settings, "eta") == "0");
  CHECK(value(settings, "weights.unet") == "bb");
  CHECK(value(settings, "lora") == "ink:0.6");
  CHECK(value(settings, "schema") == "(none)");
  for (const std::string broken : {"[1]", "{", "{\"a\":1,\"a\":2}"}) {
    CHECK_THROWS_AS(recorded_settings(std::vector<PngText>{{"ldm-gen", broken}}, "a.png"), Error);
  }
}

TEST_CASE("the parameters text of other tools is read") {
  const std::string text =
      "a cat, (hat:1.2)\nsecond line\nNegative prompt: ugly\nSteps: 20, Sampler: DPM++ 2M, "
      "CFG scale: 7, Seed: 5, Size: 512x768, Model hash: abc, Model: \"a, b: c\", "
      "Denoising strength: 0.5, Clip skip: 2, Version: v1.9";
  const auto settings = recorded_settings(std::vector<PngText>{{"parameters", text}}, "a.png");
  CHECK(value(settings, "prompt") == "a cat, (hat:1.2)\nsecond line");
  CHECK(value(settings, "negative_prompt") == "ugly");
  CHECK(value(settings, "sampler") == "dpmpp-2m");
  CHECK(value(settings, "width") == "512");
  CHECK(value(settings, "height") == "768");
  CHECK(value(settings, "model") == "a, b: c");
  CHECK(value(settings, "model_hash") == "abc");
  CHECK(value(settings, "strength") == "0.5");
  CHECK(value(settings, "clip_skip") == "1");
  CHECK(value(settings, "version") == "v1.9");
  const PictureCommand command = picture_command(settings);
  CHECK(has(command.line,
            "ldm-gen --model MODEL --prompt $'a cat, (hat:1.2)\\nsecond line' "
            "--negative-prompt ugly --seed 5 --width 512 --height 768 --steps 20"));
  CHECK(command.notes.size() == 1);
  for (const std::string odd : {"", "Steps: ", "Steps: 1, Size: x", "Negative prompt: only",
                                "Steps: 1, A: \"unclosed", "\nSteps: ,,,:::,\"\\"}) {
    CHECK_NOTHROW(recorded_settings(std::vector<PngText>{{"parameters", odd}}, "a.png"));
  }
}

TEST_CASE("the command makes the picture again and takes nothing dangerous") {
  const auto settings = recorded_settings(std::vector<PngText>{{"ldm-gen", kOwn}}, "a.png");
  const PictureCommand command = picture_command(settings);
  CHECK(command.line ==
        "ldm-gen --prompt 'a \"red\" apple'\\''s' --seed 18446744073709551615 --width 64 "
        "--height 96 --steps 12 --guidance-scale 7.5 --sampler ddim --dtype fp32 "
        "--init-image INIT_IMAGE");
  REQUIRE(command.notes.size() == 2);
  CHECK(command.notes[0] == "INIT_IMAGE: the file with SHA-256 cc");
  const std::vector<Setting> hostile = {
      {"seed", "1; rm -rf /"},   {"steps", "9999999"},  {"sampler", "$(reboot)"},
      {"output", "/etc/passwd"}, {"overwrite", "true"}, {"config", "/tmp/x"},
      {"prompt", "-"},           {"model", "default"},  {"save_latents", "/tmp/y"}};
  const PictureCommand tame = picture_command(hostile);
  CHECK(tame.line == "printf %s - | ldm-gen --prompt -");
  CHECK(tame.notes.size() == 3);
  CHECK(picture_command(std::vector<Setting>{{"prompt", "x"}}).line.empty());
}

TEST_CASE("settings from strangers are bounded") {
  std::string json = "{\"seed\": 1, \"long\": \"" + std::string(100000, 'x') + "\"";
  for (int i = 0; i < 1000; ++i) json += ", \"k" + std::to_string(i) + "\": 1";
  const auto settings = recorded_settings(std::vector<PngText>{{"ldm-gen", json + "}"}}, "a.png");
  CHECK(settings.size() == 256);
  for (const Setting& setting : settings) CHECK(setting.value.size() <= 65540);
}

TEST_CASE("paths become URLs that can be nothing else") {
  CHECK(relative_url("a/b-1_2~.png") == "a/b-1_2~.png");
  CHECK(relative_url("javascript:alert(1).png") == "javascript%3Aalert%281%29.png");
  CHECK(relative_url("a b?c#d%\"<\xff.png") == "a%20b%3Fc%23d%25%22%3C%FF.png");
}

TEST_CASE("the page's data keep every text inside their script element") {
  GalleryPicture picture;
  picture.file = "x</script>\xff.png";
  picture.width = 4;
  picture.height = 2;
  picture.settings = {{"prompt", "</script><img src=x onerror=alert(1)><!--"}, {"</script>", "1"}};
  const GalleryPicture twice[] = {picture, picture};
  const BrokenPicture broken[] = {{"<b>", "why\xff"}};
  const std::string text = script_json(gallery_data("<f>", "../", twice, broken, 2));
  CHECK(text.find('<') == std::string::npos);
  const auto json = nlohmann::json::parse(text);
  CHECK(json["folder"] == "<f>");
  CHECK(json["values"].size() == 2);
  CHECK(json["values"][0] == picture.settings[0].value);
  CHECK(json["pictures"][1]["u"] == "../x%3C/script%3E%FF.png");
  CHECK(json["pictures"][1]["s"] == nlohmann::json({0, 0, 1, 1}));
  CHECK(json["broken"][0]["f"] == "<b>");
  CHECK(json["links"] == 2);
}

TEST_CASE("the page asks nothing of the network and runs its own script only") {
  const std::string head = gallery_head();
  const std::string tail = gallery_tail();
  CHECK(is_gallery(head));
  CHECK(!is_gallery("<!doctype html>\n<html>"));
  CHECK(has(head, "default-src 'none'"));
  CHECK(has(head, "script-src 'sha256-"));
  CHECK(!has(head, "unsafe"));
  for (const char* part : {"http:", "https:", "innerHTML", "insertAdjacentHTML", "eval("}) {
    CHECK(!has(head + tail, part));
  }
  // One end tag each, or the page would end early.
  CHECK(tail.find("</script>") == tail.rfind("</script>"));
}

TEST_CASE("thumbnails are at most 160 pixels long") {
  const auto picture = [](int width, int height) {
    return Image{width, height,
                 std::vector<std::uint8_t>(static_cast<std::size_t>(width * height * 3), 90)};
  };
  const std::string uri = thumbnail_uri(picture(640, 320));
  // The PNG signature and an IHDR of 160×80, 8 bits, RGB.
  CHECK(uri.starts_with("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAKAAAABQCAI"));
  CHECK(thumbnail_uri(picture(8, 8)).size() < 300);
}

}  // namespace
}  // namespace ldm::app
