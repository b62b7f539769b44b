// The training programs as users run them: whole runs of tiny networks, killed, resumed, shared.

#include <csignal>
#include <filesystem>

#include "ldm/io/hash.h"
#include "ldm/io/json.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"
#include "tests/train/plain_pictures.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ProgramResult;
using test::ProgramSetup;
using test::TempDir;

ProgramSetup quiet_threads() {
  ProgramSetup setup;
  setup.variables = {{"OMP_NUM_THREADS", "1"}, {"OMP_WAIT_POLICY", "passive"}};
  return setup;
}

ProgramResult run(const std::string& program, std::vector<std::string> args,
                  const ProgramSetup& setup = quiet_threads()) {
  args.insert(args.begin(), LDM_BINARY_DIR "/bin/" + program);
  return test::run_program(args, setup);
}

/// Eight captioned pictures of 16 pixels.
void write_pictures(const TempDir& dir) {
  std::string lines;
  for (int i = 0; i < 8; ++i) {
    const auto shade = static_cast<std::uint8_t>(30 * i);
    const std::string name = std::to_string(i) + ".png";
    dir.write("data/" + name, test::png_of(test::plain_picture(16, 16, shade, 90, 200)));
    lines += json{{"file_name", name}, {"text", "picture " + std::to_string(i)}}.dump() + "\n";
  }
  dir.write("data/metadata.jsonl", lines);
}

json autoencoder_run(const TempDir& dir, const std::string& name) {
  const std::vector<std::string> down(2, "DownEncoderBlock2D"), up(2, "UpDecoderBlock2D");
  return {{"run",
           {{"output_dir", (dir / name).string()},
            {"steps", 6},
            {"batch_size", 4},
            {"ema_decay", 0.9},
            {"log_every", 1},
            {"sample_every", 6},
            {"checkpoint_every", 3}}},
          {"data", {{"path", (dir / "data").string()}, {"size", 16}, {"patch", 8}}},
          {"model",
           {{"_class_name", "AutoencoderKL"},
            {"block_out_channels", {8, 8}},
            {"down_block_types", down},
            {"up_block_types", up},
            {"norm_num_groups", 4},
            {"latent_channels", 2},
            {"sample_size", 16}}},
          {"discriminator", {{"disc_start", 2}, {"ndf", 4}, {"n_layers", 1}}},
          {"optimizer", {{"learning_rate", 1e-3}}}};
}

std::string write(const TempDir& dir, const std::string& name, const json& config) {
  return dir.write(name + ".json", config.dump()).string();
}

/// The log's steps and figures, without times.
std::vector<json> losses(const TempDir& dir, const std::string& name) {
  std::vector<json> found;
  for (json entry : test::events(test::slurp(dir / name / "log.jsonl"))) {
    found.push_back({entry.at("step"), entry.at("metrics")});
  }
  return found;
}

std::string state_hash(const fs::path& run, const char* step) {
  return sha256_file(run / "checkpoints" / step / "state.safetensors");
}

json denoiser_run(const TempDir& dir, const std::string& name) {
  const std::string base = std::string(LDM_SOURCE_DIR) + "/configs/train/emoji-denoiser.json";
  json config = read_json_file(base);
  config["run"] = {{"output_dir", (dir / name).string()},
                   {"steps", 4},
                   {"batch_size", 4},
                   {"log_every", 1},
                   {"checkpoint_every", 2},
                   {"sample_every", 4}};
  config["data"] = {{"path", (dir / "data").string()}, {"size", 16}};
  json& model = config["model"];
  model["vae"] = (dir / "ae" / "model").string();
  model["tokenizer"] = std::string(LDM_SOURCE_DIR) + "/weights/tokenizers/clip";
  model["text_encoder"]["hidden_size"] = 8;
  model["text_encoder"]["intermediate_size"] = 16;
  model["text_encoder"]["num_hidden_layers"] = 1;
  model["text_encoder"]["num_attention_heads"] = 2;
  json& unet = model["unet"];
  unet["in_channels"] = unet["out_channels"] = 2;
  unet["sample_size"] = 8;
  unet["block_out_channels"] = {8, 16};
  unet["attention_head_dim"] = 2;
  unet["cross_attention_dim"] = 8;
  unet["norm_num_groups"] = 4;
  model["generation_config"] = {{"width", 16}, {"height", 16}, {"num_inference_steps", 2}};
  config["samples"] = {{"prompts", {"picture 1", "picture 2"}}, {"num_inference_steps", 2}};
  return config;
}

}  // namespace

TEST_CASE("training: a run that was killed goes on bit for bit") {
  const TempDir dir;
  write_pictures(dir);
  const std::string whole = write(dir, "whole", autoencoder_run(dir, "ae"));
  const ProgramResult once = run("ldm-train-autoencoder", {whole});
  INFO(once.err);
  REQUIRE(once.exit_code == 0);
  CHECK(fs::path(once.out.substr(0, once.out.size() - 1)).filename() == "step-00000006");
  CHECK(fs::exists(dir / "ae/samples/step-6.png"));
  CHECK(fs::exists(dir / "ae/model/diffusion_pytorch_model.safetensors"));
  CHECK(read_json_file(dir / "ae/model/config.json").at("scaling_factor").get<double>() > 0);
  REQUIRE(losses(dir, "ae").size() == 6);

  const std::string parts = write(dir, "parts", autoencoder_run(dir, "parts"));
  ProgramSetup killed = quiet_threads();
  killed.signal_at = "\"step\":4";
  killed.signal = SIGKILL;
  CHECK(run("ldm-train-autoencoder", {parts, "--json"}, killed).exit_code == 128 + SIGKILL);
  CHECK_FALSE(fs::exists(dir / "parts/model"));
  const ProgramResult refused = run("ldm-train-autoencoder", {parts});
  CHECK(refused.exit_code == 5);
  CHECK(refused.err.find("--resume") != std::string::npos);
  const ProgramResult resumed = run("ldm-train-autoencoder", {parts, "--resume"});
  INFO(resumed.err);
  REQUIRE(resumed.exit_code == 0);
  CHECK(losses(dir, "parts") == losses(dir, "ae"));
  CHECK(state_hash(dir / "parts", "step-00000006") == state_hash(dir / "ae", "step-00000006"));

  // The autoencoder encodes and decodes, and a denoiser learns in its latents.
  const fs::path latents = dir / "l.safetensors";
  CHECK(run("ldm-gen", {"encode", (dir / "data/3.png").string(), "--vae",
                        (dir / "ae/model").string(), "-o", latents.string()})
            .exit_code == 0);
  const std::string denoiser = write(dir, "unet", denoiser_run(dir, "unet"));
  const ProgramResult learned = run("ldm-train-denoiser", {denoiser});
  INFO(learned.err);
  REQUIRE(learned.exit_code == 0);
  CHECK(losses(dir, "unet").size() == 4);
  CHECK(fs::exists(dir / "unet/samples/step-4.png"));
  const ProgramResult drawn = run("ldm-gen", {"-m", (dir / "unet/model").string(), "-p",
                                              "picture 3", "-o", (dir / "p.png").string()});
  INFO(drawn.err);
  CHECK(drawn.exit_code == 0);
}

TEST_CASE("training: captions over SentencePiece, classes, and no condition at all") {
  const TempDir dir;
  write_pictures(dir);
  REQUIRE(run("ldm-train-autoencoder", {write(dir, "ae", autoencoder_run(dir, "ae"))}).exit_code ==
          0);
  const auto learn_and_draw = [&](const std::string& name, const json& config,
                                  const std::vector<std::string>& condition) {
    const ProgramResult learned = run("ldm-train-denoiser", {write(dir, name, config)});
    INFO(name << ": " << learned.err);
    REQUIRE(learned.exit_code == 0);
    CHECK(losses(dir, name).size() == 4);
    std::vector<std::string> args = {"-m", (dir / name / "model").string(), "-o",
                                     (dir / (name + ".png")).string()};
    args.insert(args.end(), condition.begin(), condition.end());
    const ProgramResult drawn = run("ldm-gen", args);
    INFO(drawn.err);
    CHECK(drawn.exit_code == 0);
  };

  json config = denoiser_run(dir, "bert");
  config.erase("samples");
  dir.write("spm/spiece.model",
            test::slurp(fs::path(LDM_SOURCE_DIR) / "tests/golden/text/t5.model"));
  dir.write("spm/tokenizer_config.json",
            R"({"tokenizer_class": "T5Tokenizer", "model_max_length": 77, "extra_ids": 0})");
  json& model = config["model"];
  model["model_index"] = {{"_class_name", "LDMTextToImagePipeline"},
                          {"bert", {"latent_diffusion", "LDMBertModel"}},
                          {"tokenizer", {"transformers", "T5Tokenizer"}},
                          {"scheduler", {"diffusers", "DDIMScheduler"}},
                          {"unet", {"diffusers", "UNet2DConditionModel"}},
                          {"vqvae", {"diffusers", "AutoencoderKL"}}};
  model["tokenizer"] = (dir / "spm").string();
  model.erase("text_encoder");
  model["bert"] = {{"vocab_size", 2000},
                   {"max_position_embeddings", 77},
                   {"encoder_layers", 1},
                   {"encoder_ffn_dim", 16},
                   {"encoder_attention_heads", 2},
                   {"head_dim", 4},
                   {"d_model", 8},
                   {"pad_token_id", 0}};
  learn_and_draw("bert", config, {"-p", "picture 2"});

  std::string lines;
  for (int i = 0; i < 8; ++i) {
    lines += json{{"file_name", std::to_string(i) + ".png"}, {"class_label", i % 3}}.dump() + "\n";
  }
  dir.write("data/metadata.jsonl", lines);
  config = denoiser_run(dir, "classes");
  config.erase("samples");
  config["model"].erase("tokenizer");
  config["model"].erase("text_encoder");
  config["model"]["model_index"] = {{"_class_name", "LDMClassToImagePipeline"},
                                    {"class_embedder", {"ldm_gen", "ClassEmbedder"}},
                                    {"scheduler", {"diffusers", "DDIMScheduler"}},
                                    {"unet", {"diffusers", "UNet2DConditionModel"}},
                                    {"vqvae", {"diffusers", "AutoencoderKL"}}};
  config["model"]["class_embedder"] = {{"embed_dim", 8}, {"num_classes", 3}};
  const ProgramResult dropped = run("ldm-train-denoiser", {write(dir, "dropped", config)});
  CHECK(dropped.exit_code == 3);
  CHECK(dropped.err.find("condition_dropout") != std::string::npos);
  config["denoising"]["condition_dropout"] = 0.0;
  learn_and_draw("classes", config, {"--class", "1", "-g", "1"});

  config["run"]["output_dir"] = (dir / "free").string();
  config["model"].erase("class_embedder");
  config["model"].erase("train_text_encoder");
  config["model"]["model_index"] = {{"_class_name", "LDMPipeline"},
                                    {"scheduler", {"diffusers", "DDIMScheduler"}},
                                    {"unet", {"diffusers", "UNet2DModel"}},
                                    {"vqvae", {"diffusers", "AutoencoderKL"}}};
  config["model"]["unet"] = {{"_class_name", "UNet2DModel"},
                             {"sample_size", 8},
                             {"in_channels", 2},
                             {"out_channels", 2},
                             {"block_out_channels", {8, 16}},
                             {"down_block_types", {"DownBlock2D", "AttnDownBlock2D"}},
                             {"up_block_types", {"AttnUpBlock2D", "UpBlock2D"}},
                             {"layers_per_block", 1},
                             {"attention_head_dim", 8},
                             {"norm_num_groups", 4}};
  learn_and_draw("free", config, {});
}

TEST_CASE("training: a codebook is learned by averages, and its use is shown") {
  const TempDir dir;
  write_pictures(dir);
  json config = autoencoder_run(dir, "vq");
  config["model"]["_class_name"] = "VQModel";
  config["model"]["num_vq_embeddings"] = 8;
  config["model"]["vq_embed_dim"] = 2;
  config["codebook"] = {{"ema", true}, {"dead_below", 0.01}};
  const ProgramResult learned = run("ldm-train-autoencoder", {write(dir, "vq", config)});
  INFO(learned.err);
  REQUIRE(learned.exit_code == 0);
  for (const json& entry : losses(dir, "vq")) {
    const double perplexity = entry[1].at("perplexity").get<double>();
    CHECK(perplexity >= 1);
    CHECK(perplexity <= 8);
  }
  const fs::path latents = dir / "l.safetensors";
  const std::string vae = (dir / "vq/model").string();
  CHECK(run("ldm-gen",
            {"encode", (dir / "data/3.png").string(), "--vae", vae, "-o", latents.string()})
            .exit_code == 0);
  CHECK(run("ldm-gen", {"decode", latents.string(), "--vae", vae, "-o", (dir / "p.png").string()})
            .exit_code == 0);
}

TEST_CASE("training: a signal saves what was learned and says how to go on") {
  const TempDir dir;
  write_pictures(dir);
  const std::string config = write(dir, "run", autoencoder_run(dir, "run"));
  ProgramSetup stopped = quiet_threads();
  stopped.signal_at = "\"step\":2";
  stopped.signal = SIGTERM;
  const ProgramResult result = run("ldm-train-autoencoder", {config, "--json"}, stopped);
  CHECK(result.exit_code == 143);
  CHECK(result.err.find("--resume") != std::string::npos);
  CHECK(result.out.find("\"checkpoint\"") != std::string::npos);
  json other = autoencoder_run(dir, "run");
  other["optimizer"]["learning_rate"] = 0.5;
  const ProgramResult differs =
      run("ldm-train-autoencoder", {write(dir, "other", other), "--resume"});
  CHECK(differs.exit_code == 3);
  CHECK(differs.err.find("/optimizer/learning_rate: 0.001, now 0.5") != std::string::npos);
}

TEST_CASE("training: two processes have the losses of one") {
  const TempDir dir;
  write_pictures(dir);
  json config = autoencoder_run(dir, "one");
  config.erase("discriminator");  // its batch statistics are each process' own
  REQUIRE(run("ldm-train-autoencoder", {write(dir, "one", config)}).exit_code == 0);
  if (!fs::exists("/usr/bin/mpirun") || !fs::exists(LDM_BINARY_DIR "/bin/libldm_mpi.so")) {
    WARN("SKIP: no mpirun, or built without MPI");
    return;
  }
  config["run"]["output_dir"] = (dir / "two").string();
  const ProgramResult two =
      test::run_program({"/usr/bin/mpirun", "-n", "2", "--oversubscribe", "--allow-run-as-root",
                         LDM_BINARY_DIR "/bin/ldm-train-autoencoder", write(dir, "two", config)},
                        quiet_threads());
  INFO(two.err);
  REQUIRE(two.exit_code == 0);
  const auto expected = losses(dir, "one"), found = losses(dir, "two");
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i][1].at("loss").get<double>() ==
          Approx(expected[i][1].at("loss").get<double>()).epsilon(1e-5));
  }
}

TEST_CASE("training: a second run keeps out of a folder in use") {
  const TempDir dir;
  write_pictures(dir);
  json config = autoencoder_run(dir, "one");
  config["run"]["steps"] = 100000;
  const std::string file = write(dir, "one", config);
  // The first run starts the second one when it has begun, and is stopped afterwards.
  const std::string script =
      "\"$0\" --json \"$1\" > run.jsonl 2> run.err & first=$!\n"
      "until grep -q train_step run.jsonl; do kill -0 $first || exit 99; sleep 0.05; done\n"
      "\"$0\" \"$1\"; code=$?\n"
      "echo $first > first; kill -TERM $first; wait $first; exit $code\n";
  ProgramSetup setup = quiet_threads();
  setup.folder = dir.path();
  const ProgramResult second = test::run_program(
      {"/bin/bash", "-c", script, LDM_BINARY_DIR "/bin/ldm-train-autoencoder", file}, setup);
  INFO(second.err);
  CHECK(second.exit_code == 9);
  std::string number = test::slurp(dir / "first");
  number.pop_back();
  CHECK(second.err.find("is being written to by process " + number + " on ") != std::string::npos);
  CHECK(second.err.find("hint: wait for it, or choose another /run/output_dir") !=
        std::string::npos);
  CHECK_FALSE(fs::exists(dir / "one" / ".ldm-lock"));
}

TEST_CASE("training: bad input is told before anything is learned") {
  const TempDir dir;
  write_pictures(dir);
  const auto refused = [&](const json& config, int code, const std::string& part) {
    const ProgramResult result = run("ldm-train-autoencoder", {write(dir, "bad", config)});
    INFO(part << ": " << result.err);
    CHECK(result.exit_code == code);
    CHECK(result.err.find(part) != std::string::npos);
    CHECK_FALSE(fs::exists(dir / "bad/checkpoints/step-00000003"));
  };
  json config = autoencoder_run(dir, "bad");
  config["data"]["pth"] = "x";
  refused(config, 3, "unknown key pth");
  config = autoencoder_run(dir, "bad");
  fs::create_directories(dir / "empty");
  config["data"]["path"] = (dir / "empty").string();
  refused(config, 3, "empty");
  config = autoencoder_run(dir, "bad");
  config["model"] = {{"_class_name", "AutoencoderTiny"}};
  refused(config, 3, "AutoencoderTiny");
  CHECK(run("ldm-train-autoencoder", {}).exit_code == 2);
  CHECK(run("ldm-train-autoencoder", {(dir / "none.json").string()}).exit_code == 3);

  dir.write("data/metadata.jsonl", "{\"file_name\": \"77.png\", \"text\": \"gone\"}\n");
  json denoiser = denoiser_run(dir, "bad");
  REQUIRE(run("ldm-train-autoencoder", {write(dir, "ae", autoencoder_run(dir, "ae"))}).exit_code ==
          0);
  const ProgramResult missing = run("ldm-train-denoiser", {write(dir, "unet", denoiser)});
  CHECK(missing.exit_code == 3);
  CHECK(missing.err.find("metadata.jsonl:1") != std::string::npos);
}

}  // namespace ldm
