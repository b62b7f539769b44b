#include "ldm/app/options.h"

#include <algorithm>
#include <array>

#include "ldm/schedulers/registry.h"
#include "ldm/schedulers/schedule_choice.h"

namespace ldm::app {
namespace {

using Words = std::vector<std::string>;

Words prompt_syntaxes() { return {"plain", "weighted"}; }
Words prompt_weightings() { return {"mean-restoring", "plain", "comfyui"}; }
Words long_prompts() { return {"truncate", "chunk", "error"}; }
Words schedules() { return schedule_names(); }
Words compats() { return {"diffusers", "a1111", "comfyui", "compvis"}; }
Words spacings() { return {"leading", "trailing", "linspace"}; }
Words prediction_types() { return {"epsilon", "v_prediction", "sample"}; }
Words strength_modes() { return {"scaled", "exact"}; }
Words metadata_modes() { return {"full", "a1111", "none"}; }
Words dtypes() { return {"auto", "fp32", "tf32", "bf16", "fp16"}; }
Words tilings() { return {"auto", "on", "off"}; }
Words tile_sides() { return {"x", "y", "xy"}; }
Words hires_upscalers() { return {"latent", "image"}; }

constexpr std::string_view kWhat = "What to draw";
constexpr std::string_view kModel = "The model";
constexpr std::string_view kSize = "Size";
constexpr std::string_view kHow = "How to draw it";
constexpr std::string_view kFrom = "Starting from a picture";
constexpr std::string_view kWhere = "Where it goes";
constexpr std::string_view kBatch = "Many pictures";
constexpr std::string_view kMachine = "Machine";
constexpr std::string_view kReports = "Settings and reports";
constexpr std::string_view kCommandsOnly = "Of single commands";

constexpr double kMaxSide = 1 << 20;
constexpr double kMaxGuidance = 1000;

// The table is long by nature: one row an option.
// clang-format off
constexpr OptionSpec kOptions[] = {
    {"-p,--prompt", "TEXT", kWhat, "what the picture shows; - reads it from stdin", &Options::prompt},
    {"-n,--negative-prompt", "TEXT", kWhat, "what it should not show", &Options::negative_prompt},
    {"--class", "N", kWhat, "what a class-conditional model draws, in place of a prompt", &Options::class_label, nullptr, Range{0, 1000000}},
    {"-s,--seed", "N", kWhat, "image k uses seed N+k (default: random, printed and recorded)", &Options::seed},
    {"-N,--num-images", "N", kWhat, "number of images (default 1)", &Options::num_images, nullptr, Range{1, 1000000}},
    {"--prompt-syntax", "NAME", kWhat, "how prompts are read: plain text (default), or weighted: (a:1.3) [a] BREAK [a:b:0.5] [a|b] AND", &Options::prompt_syntax, &prompt_syntaxes},
    {"--prompt-weighting", "NAME", kWhat, "what a weight does: mean-restoring (default; A1111's), plain (factors alone), comfyui (away from the empty prompt)", &Options::prompt_weighting, &prompt_weightings},
    {"--long-prompt", "NAME", kWhat, "a prompt beyond the encoder's window is cut (truncate, the default, with a warning), read in chunks of 75 tokens, or an error", &Options::long_prompt, &long_prompts},

    {"-m,--model", "PATH", kModel, "model folder, .safetensors or .ckpt file, or org/name in the local Hugging Face cache (default: $LDM_MODEL, else the model that comes with ldm-gen)", &Options::model},
    {"--vae", "PATH", kModel, "autoencoder in place of the model's own: a folder or a file", &Options::vae},
    {"--lora", "FILE[:SCALE]", kModel, "LoRA to merge, as often as wanted; SCALE multiplies its effect (default 1)", &Options::lora},
    {"--lora-dir", "DIR", kModel, "folder of the LoRAs that weighted prompts name: <lora:NAME:SCALE> is NAME.safetensors in it", &Options::lora_dir},
    {"--lora-partial", "", kModel, "leave out what of a LoRA this model has no place for", &Options::lora_partial},
    {"--embedding", "FILE[:WORD]", kModel, "textual inversion, as often as wanted; WORD stands for it in prompts (default: the file's own)", &Options::embedding},
    {"--controlnet", "PATH[:SCALE]", kModel, "ControlNet, a folder or a file, as often as wanted, each with its --control-image; SCALE multiplies its effect (default 1)", &Options::controlnet},

    {"-W,--width", "PX", kSize, "a multiple of 8 (default: the model's, or the init image's)", &Options::width, nullptr, Range{8, kMaxSide}},
    {"-H,--height", "PX", kSize, "a multiple of 8 (default: the model's, or the init image's)", &Options::height, nullptr, Range{8, kMaxSide}},

    {"--tile", "SIDES", kSize, "seamless: the picture goes on at its opposite edge along x, y or xy", &Options::tile, &tile_sides},
    {"--hires-scale", "S", kSize, "draw first at the size above, then again S times as large, from what came out", &Options::hires_scale, nullptr, Range{1, 8}},
    {"--hires-strength", "S", kSize, "0…1, how much the second pass redraws (default 0.7)", &Options::hires_strength, nullptr, Range{0, 1}},
    {"--hires-steps", "N", kSize, "steps of the second pass, of which strength takes its share (default: as the first)", &Options::hires_steps, nullptr, Range{1, 1000}},
    {"--hires-upscaler", "NAME", kSize, "what is enlarged: the latents, or the picture by Lanczos (default latent)", &Options::hires_upscaler, &hires_upscalers},

    {"--steps", "N", kHow, "denoising steps (default: the model's, else 30)", &Options::steps, nullptr, Range{1, 1000}},
    {"-g,--guidance-scale", "G", kHow, "how strongly the prompt is followed; not at all up to 1 (default: the model's, else 7.5)", &Options::guidance_scale, nullptr, Range{-kMaxGuidance, kMaxGuidance}},
    {"--guidance-rescale", "R", kHow, "0…1, tames the contrast of strong guidance (default: the model's, else 0)", &Options::guidance_rescale, nullptr, Range{0, 1}},
    {"--guidance-interval", "A,B", kHow, "guide only in this part of the run, 0,1 being all of it; outside the prompt alone is followed, in half the time", &Options::guidance_interval},
    {"--pag-scale", "S", kHow, "perturbed-attention guidance, beside --guidance-scale or without it (default 0: off)", &Options::pag_scale, nullptr, Range{0, kMaxGuidance}},
    {"--pag-layers", "NAMES", kHow, "self-attentions that are perturbed, by parts of their names: mid, up_blocks.1 … (default mid)", &Options::pag_layers},
    {"--sag-scale", "S", kHow, "self-attention guidance, beside --guidance-scale or without it (Hong et al.; 0.75; default 0: off)", &Options::sag_scale, nullptr, Range{0, kMaxGuidance}},
    {"--freeu", "B1,B2,S1,S2", kHow, "FreeU's factors of backbone and skip connections (SD1.5: 1.5,1.6,0.9,0.2; SD2.1: 1.4,1.6,0.9,0.2)", &Options::freeu},
    {"--deep-cache", "N", kHow, "whole UNet steps are every N-th only, those between reuse their deep features: faster, less exact (DeepCache; 2 or 3; default 1: off)", &Options::deep_cache, nullptr, Range{1, 1000}},
    {"--sampler", "NAME", kHow, "see `ldm-gen samplers` (default: the model's)", &Options::sampler, &sampler_names},
    {"--schedule", "NAME", kHow, "how the noise levels are spread (default: as the model's scheduler says)", &Options::schedule, &schedules},
    {"--schedule-rho", "R", kHow, "exponent of the schedules karras (default 7) and polyexponential (1)", &Options::schedule_rho, nullptr, Range{0, 100}},
    {"--sigmas", "S1,S2…", kHow, "the noise levels themselves, falling; as many steps as levels above 0", &Options::sigmas},
    {"--timesteps", "T1,T2…", kHow, "the training timesteps themselves, falling; one a step", &Options::timesteps},
    {"--compat", "NAME", kHow, "whose noise, levels and rounding; the plan tells what it sets (default diffusers)", &Options::compat, &compats},
    {"--eta", "E", kHow, "0…1, fresh noise of the samplers ddim and tcd (default 0)", &Options::eta, nullptr, Range{0, 1}},
    {"--timestep-spacing", "NAME", kHow, "replaces the model's", &Options::timestep_spacing, &spacings},
    {"--prediction-type", "NAME", kHow, "replaces the model's", &Options::prediction_type, &prediction_types},
    {"--rescale-betas-zero-snr", "", kHow, "rescale the noise schedule to zero terminal SNR", &Options::rescale_betas_zero_snr},
    {"--clip-skip", "N", kHow, "layers skipped at the text encoder's end (default: none)", &Options::clip_skip, nullptr, Range{0, 1000}},

    {"-i,--init-image", "FILE", kFrom, "PNG or JPEG to start from", &Options::init_image},
    {"--strength", "S", kFrom, "0…1, how much of it is redrawn (default 0.8; 1 with a mask)", &Options::strength, nullptr, Range{0, 1}},
    {"--strength-mode", "NAME", kFrom, "scaled runs steps × strength steps, exact runs all (default scaled)", &Options::strength_mode, &strength_modes},
    {"--init-latents", "FILE", kFrom, "safetensors to start from: the noise, or with --strength clean latents", &Options::init_latents},
    {"--mask", "FILE", kFrom, "PNG or JPEG as large as the init image: white is repainted, black stays as it is to the pixel", &Options::mask},
    {"--mask-blur", "PX", kFrom, "soften the mask's edge by a Gaussian of that radius (default 0)", &Options::mask_blur, nullptr, Range{0, 1000}},
    {"--invert-mask", "", kFrom, "black is repainted", &Options::invert_mask},
    {"--outpaint", "L,T,R,B", kFrom, "pixels of new canvas at the left, top, right and bottom, painted as the mask's white is", &Options::outpaint},
    {"--depth", "FILE", kFrom, "PNG or JPEG, brighter is nearer (depth-to-image models)", &Options::depth},
    {"--control-image", "FILE", kFrom, "PNG or JPEG that a ControlNet follows; once for each --controlnet, in the same order", &Options::control_image},
    {"--canny", "LOW,HIGH", kFrom, "draw the edges of the control images and follow these (100,200 is usual); once for all of them, or for each in order, with off for none", &Options::canny},
    {"--control-start", "F", kFrom, "0…1, share of the run before the ControlNets begin (default 0)", &Options::control_start, nullptr, Range{0, 1}},
    {"--control-end", "F", kFrom, "0…1, share of the run after which they end (default 1)", &Options::control_end, nullptr, Range{0, 1}},
    {"--image-guidance-scale", "G", kFrom, "how closely an edit keeps to the picture (InstructPix2Pix; default 1.5)", &Options::image_guidance_scale, nullptr, Range{0, kMaxGuidance}},
    {"--noise-level", "N", kFrom, "noise put on the small picture (upscaler; default 20)", &Options::noise_level, nullptr, Range{0, 1000}},

    {"-o,--output", "PATH", kWhere, "file or folder; several images get -0001… (default ldm-SEED.png, next free name)", &Options::output},
    {"--overwrite", "", kWhere, "replace existing files", &Options::overwrite},
    {"--metadata", "NAME", kWhere, "settings written into the PNG (default full)", &Options::metadata, &metadata_modes},
    {"--save-latents", "FILE", kWhere, "also write the final latents, as safetensors", &Options::save_latents},
    {"--grid", "FILE", kWhere, "also write a labelled sheet of all pictures of the run", &Options::grid},
    {"--heatmap", "WORD", kWhere, "also write where in the picture this word of the prompt was looked at, as NAME.heatmap.png", &Options::heatmap},
    {"--preview", "FILE", kWhere, "a PNG of what the work in progress comes to, replaced as it goes on", &Options::preview},
    {"--preview-every", "N", kWhere, "steps from preview to preview (default 1)", &Options::preview_every, nullptr, Range{1, 1000}},
    {"--preview-vae", "PATH", kWhere, "small autoencoder (TAESD) for sharper previews: a folder or a file", &Options::preview_vae},

    {"--jobs", "FILE", kBatch, "jobs, one JSON object a line, keys as of --config; - reads them from stdin as they come", &Options::jobs, nullptr, std::nullopt, false},
    {"--prompts", "FILE", kBatch, "one prompt a line, without empty lines and those that begin with #; - reads stdin", &Options::prompts, nullptr, std::nullopt, false},
    {"--sweep", "KEY=V1,V2…", kBatch, "every job with each of these values; several make all combinations", &Options::sweep, nullptr, std::nullopt, false},
    {"--output-dir", "DIR", kBatch, "folder of the pictures and their journal.jsonl; the same command again goes on where it was stopped", &Options::output_dir},
    {"--name-template", "TEXT", kBatch, "names of the pictures, from {index} {seed} {id} {sampler} {steps}; {index:06} is padded (default {index:06}-{seed}.png)", &Options::name_template},
    {"--id", "TEXT", kBatch, "a job's own name, for {id} and the journal", &Options::id},
    {"--keep-going", "", kBatch, "note failed jobs and go on; exit 8", &Options::keep_going},
    {"--shard", "I/N", kBatch, "only every Nth picture, from the Ith (0 … N-1); auto: from torchrun's or SLURM's environment", &Options::shard, nullptr, std::nullopt, false},
    {"--shared", "", kBatch, "several processes share the folder and its jobs", &Options::shared, nullptr, std::nullopt, false},
    {"--time-limit", "TIME", kBatch, "stop between pictures before 3h50m, 45m or 90s are over; exit 75", &Options::time_limit, nullptr, std::nullopt, false},

    {"--device", "NAME", kMachine, "auto, cpu, cuda or cuda:N (default auto)", &Options::device},
    {"--dtype", "NAME", kMachine, "number format (default auto)", &Options::dtype, &dtypes},
    {"--fast", "", kMachine, "multiply in 8 bits in the UNet's transformer blocks, on CPUs with AVX512-VNNI (int8) and GPUs of compute capability 8.9 and newer (fp8): faster and smaller, less exact", &Options::fast},
    {"--threads", "N", kMachine, "CPU threads (default: one a core)", &Options::threads, nullptr, Range{1, 4096}},
    {"--batch-size", "B", kMachine, "images computed together; changes no picture (default: by device)", &Options::batch_size, nullptr, Range{1, 4096}},
    {"--vae-tiling", "WHEN", kMachine, "decode in tiles: less memory (default auto)", &Options::vae_tiling, &tilings},
    {"--low-memory", "", kMachine, "free each part of the model as soon as it is done; on a GPU, also keep the UNet's weights in host memory and bring them block by block", &Options::low_memory},
    {"--weight-cache", "", kMachine, "keep weights on disk as this CPU computes with them, in ~/.cache/ldm-gen: the next starts are fast, and processes share memory", &Options::weight_cache},

    {"--dry-run", "", kReports, "check everything and print the plan; read no weights", &Options::dry_run},
    {"--config", "FILE", kReports, "options from a JSON object, keys in snake_case; the command line wins", &Options::config, nullptr, std::nullopt, false},
    {"--print-config", "", kReports, "print all options as such a file and stop", &Options::print_config, nullptr, std::nullopt, false},
    {"--json", "", kReports, "events on stdout, one JSON object a line", &Options::json},
    {"-q,--quiet", "", kReports, "only warnings and errors", &Options::quiet},
    {"--no-progress", "", kReports, "no progress line", &Options::no_progress},
    {"--timings", "", kReports, "a table of times and memory at the end", &Options::timings},

    {"--embed", "", kCommandsOnly, "gallery: small pictures inside the page, which then needs no other file", &Options::embed, nullptr, std::nullopt, false, false},
};
// clang-format on

constexpr std::string_view kTokensOptions[] = {"model", "prompt",    "prompt_syntax", "long_prompt",
                                               "steps", "embedding", "json"};
constexpr std::string_view kJsonOption[] = {"json"};
constexpr std::string_view kEncodeOptions[] = {"model",   "vae",        "output", "overwrite",
                                               "seed",    "vae_tiling", "device", "dtype",
                                               "threads", "quiet"};
constexpr std::string_view kDecodeOptions[] = {
    "model", "vae", "output", "overwrite", "vae_tiling", "device", "dtype", "threads", "quiet"};
constexpr std::string_view kReplayOptions[] = {
    "output",       "overwrite", "model",      "vae",          "lora",       "lora_dir",
    "lora_partial", "embedding", "init_image", "init_latents", "controlnet", "control_image",
    "mask",         "depth",     "device",     "dtype",        "fast",       "threads",
    "low_memory",   "json",      "quiet",      "no_progress"};
constexpr std::string_view kGalleryOptions[] = {"output", "embed", "overwrite", "quiet"};

constexpr CommandSpec kCommands[] = {
    {"samplers", "", "list the samplers with their sources", kJsonOption},
    {"tokens", "", "show how a prompt becomes tokens; needs no weights", kTokensOptions},
    {"inspect", "MODEL", "show what a model holds and how it was recognised", kJsonOption},
    {"verify", "MODEL", "read every tensor of a model and list all that is wrong", kJsonOption},
    {"status", "DIR", "how far the batch in a folder is", kJsonOption},
    {"merge", "DIR", "make one journal of those of all shards, and check every picture",
     kJsonOption},
    {"encode", "IMAGE", "a picture's latents, as safetensors", kEncodeOptions},
    {"decode", "LATENTS", "the pictures of latents", kDecodeOptions},
    {"replay", "IMAGE",
     "make a picture again from its own settings and compare, stage by stage; exit 8 where it "
     "comes out different",
     kReplayOptions,
     "Prompt, seed, size, sampler and all else that decides the picture are read from it, and so "
     "are device, dtype and threads unless given. A picture holds no files: an init image, mask, "
     "depth, latents, autoencoder, LoRA or embedding that it was made with must be given again, "
     "and "
     "is checked against the SHA-256 in it; LoRAs and embeddings in their order, scales and words "
     "are read from it. --output keeps the new picture."},
    {"gallery", "DIR", "one HTML page of a folder's pictures with their settings", kGalleryOptions},
    {"completion", "bash|zsh|fish", "the completion script of a shell", {}},
};

}  // namespace

std::span<const OptionSpec> option_table() { return kOptions; }

std::span<const CommandSpec> command_table() { return kCommands; }

bool is_job_option(const OptionSpec& spec) {
  return spec.group == kWhat || spec.group == kSize || spec.group == kHow || spec.group == kFrom ||
         long_flag(spec) == "--output" || long_flag(spec) == "--id";
}

std::string long_flag(const OptionSpec& spec) {
  return std::string(spec.flags.substr(spec.flags.find("--")));
}

std::string option_key(const OptionSpec& spec) {
  std::string key = long_flag(spec).substr(2);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

const OptionSpec* find_option(std::string_view key) {
  for (const OptionSpec& spec : kOptions) {
    if (option_key(spec) == key) return &spec;
  }
  return nullptr;
}

}  // namespace ldm::app
