#pragma once

#include <span>
#include <string>

#include "ldm/app/command_line.h"
#include "ldm/app/session.h"

namespace ldm::app {

/// What ldm-gen does with its arguments: help, version, a subcommand, or pictures.
void run_command_line(std::span<const std::string> args, Session& session);

/// Makes the pictures that the options ask for.
void generate(const Options& command_line, Session& session);

/// Lists the samplers.
void list_samplers(const Options& options, Console& console);

/// Shows how a prompt becomes tokens. Needs a tokenizer, no weights.
void show_tokens(const Options& options, Console& console);

/// Writes a picture's latents.
void encode_picture(const std::string& image, const Options& options, Console& console);

/// Writes the pictures of a file of latents.
void decode_pictures(const std::string& latents, const Options& options, Console& console);

/// Reads every tensor of a model and lists all that is wrong. Throws Error::model if anything is.
void verify_model(const std::string& model, const Options& options, Console& console);

/// Shows what a model folder holds.
void inspect_model(const std::string& model, const Options& options, Console& console);

/// Says how far the batch in a folder is, by its journals.
void show_status(const std::string& folder, Console& console);

/// Puts one journal in place of those of all shards, after reading every picture again. Throws
/// Error::stopped (kPartial) when pictures are missing or changed, Error::locked while one runs.
void merge_journals(const std::string& folder, Console& console);

/// Writes the page of the pictures below a folder.
void make_gallery(const std::string& folder, const Options& options, Console& console);

/// Makes a picture again from what it records and compares stage by stage. Throws Error::stopped
/// (kPartial) where it comes out different, Error::input for a picture that cannot be used.
void replay(const std::string& image, const Options& command_line, Session& session);

/// Prints the completion script of a shell, or the manual page for "man".
void print_completion(const std::string& kind, Console& console);

/// The folder of the model that the user named, of $LDM_MODEL, or of the default model.
std::filesystem::path resolve_model(const Options& options);

/// Makes `options` name the model that a picture records as `name`, unless they name one: the first
/// of $LDM_MODEL, the default model and the Hugging Face cache that goes by that name, else
/// $LDM_MODEL whatever its name. Throws Error::usage when none is left.
void choose_recorded_model(Options& options, const std::string& name);

/// How a model is named in metadata: "org/name" as given, else its folder's name.
std::string model_display_name(const Options& options, const std::filesystem::path& folder);

}  // namespace ldm::app
