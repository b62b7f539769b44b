#include <cstdint>
#include <cstdio>

#include "ldm/app/completion.h"
#include "ldm/app/exit_codes.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"

namespace ldm::app {
namespace {

/// The code point that starts at `at` of valid UTF-8, and its length.
std::pair<std::uint32_t, std::size_t> code_point(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  std::uint32_t value = length == 1 ? lead : lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    value = value << 6U | (static_cast<unsigned char>(text[at + i]) & 0x3fU);
  }
  return {value, length};
}

/// Plain text for roff: escapes for what it would take as a request, and for what is not ASCII.
std::string roff(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto [value, length] = code_point(text, i);
    if (value == '\\') {
      out += "\\e";
    } else if (value == '-') {
      out += "\\-";
    } else if (value == '\'') {
      out += "\\(aq";
    } else if (value == '`') {
      out += "\\(ga";
    } else if (value >= 0x80) {
      char name[16];
      std::snprintf(name, sizeof name, "\\[u%04X]", value);
      out += name;
    } else {
      out += static_cast<char>(value);
    }
    i += length;
  }
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string option_paragraph(const OptionSpec& spec) {
  std::vector<std::string> flags;
  for (const std::string& flag : flags_of(spec)) flags.push_back("\\fB" + roff(flag) + "\\fR");
  std::string out = ".TP\n" + join(flags, ", ");
  if (!spec.is_switch()) out += " \\fI" + roff(spec.value) + "\\fR";
  out += "\n" + roff(spec.help);
  if (spec.choices != nullptr) out += ".\nOne of: " + roff(join(spec.choices(), ", "));
  return out + ".\n";
}

std::string options_section() {
  std::string out = ".SH OPTIONS\n";
  std::string_view group;
  for (const OptionSpec& spec : option_table()) {
    if (spec.group != group) out += cat(".SS ", roff(spec.group), "\n");
    group = spec.group;
    out += option_paragraph(spec);
  }
  return out +
         ".SS Help\n.TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nAll options in short; after a command, "
         "its own.\n.TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nVersion, revision and libtorch.\n";
}

std::string commands_section() {
  std::string out = ".SH COMMANDS\n";
  for (const CommandSpec& command : command_table()) {
    out += cat(".TP\n\\fB", roff(command.name), "\\fR");
    if (!command.argument.empty()) out += cat(" \\fI", roff(command.argument), "\\fR");
    out += cat("\n", roff(command.help), ".\n");
    if (!command.more.empty()) out += roff(command.more) + "\n";
    std::vector<std::string> flags;
    for (const std::string_view key : command.options) {
      flags.push_back("\\fB" + roff(long_flag(*find_option(key))) + "\\fR");
    }
    if (!flags.empty()) out += cat("Options: ", join(flags, ", "), ".\n");
  }
  return out;
}

std::string exit_section() {
  std::string out = ".SH EXIT STATUS\n";
  for (const ExitCode& row : exit_codes()) {
    out += cat(".TP\n", row.code, "\n", roff(row.meaning), "\n");
  }
  return out;
}

constexpr std::string_view kHead = R"(.SH NAME
ldm-gen \- make pictures from text with Stable Diffusion models
.SH SYNOPSIS
.B ldm-gen
.B \-\-prompt
.I TEXT
.RI [ options ]
.br
.B ldm-gen
.I COMMAND
.RI [ argument ]
.RI [ options ]
.SH DESCRIPTION
.B ldm-gen
reads the published model folders and single files of the Stable Diffusion family and writes PNG
pictures that carry their settings.
It works offline; without
.B \-\-model
it uses the small model that comes with it.
.PP
Standard output carries the path of each written picture, one a line, or events with
.BR \-\-json ;
all else goes to standard error.
Files appear whole or not at all, and none is replaced without
.BR \-\-overwrite .
)";

constexpr std::string_view kTail = R"(.SH EVENTS
With
.B \-\-json
standard output carries one JSON object a line:
.BR plan " or " batch
(what will be made),
.BR load ,
.BR step ,
.BR image ,
.BR failed ,
.BR grid ,
.BR warning ,
.BR error ,
and last
.BR done .
Every field is described in
.IR ../share/ldm\-gen/configs/schemas/events.schema.json .
.SH ENVIRONMENT
.TP
.B LDM_MODEL
The model when
.B \-\-model
is not given.
.TP
.BR HF_HUB_CACHE ", " HF_HOME
Where the local Hugging Face cache is, in which models named
.I org/name
are looked up.
.SH FILES
.TP
.I ~/.cache/ldm\-gen/sha256
Digests of large weight files, so that a run need not read them again to name them; by
.BR XDG_CACHE_HOME ,
where that is set. It may be removed at any time.
.TP
.I ~/.cache/ldm\-gen/packed
What
.B \-\-weight\-cache
keeps: at most a file for each part of a model. It may be removed at any time.
.TP
.I ../share/ldm\-gen/weights/default
The model that comes with the program, as seen from the program's folder.
.SH EXAMPLES
.TP
A picture, twice the same:
ldm\-gen \-p \(dqa red apple on a blue background\(dq \-\-seed 42 \-o apple.png
.TP
Start from a photo:
ldm\-gen \-m weights/sd15 \-i photo.jpg \-\-strength 0.6 \-p \(dqa watercolour\(dq
.TP
Look through a folder of pictures:
ldm\-gen gallery pictures
)";

}  // namespace

std::string manual_page(std::string_view date) {
  return cat(".TH LDM\\-GEN 1 \"", date, "\" \"ldm\\-gen ", version(), "\" \"User Commands\"\n",
             kHead, options_section(), commands_section(), exit_section(), kTail);
}

}  // namespace ldm::app
