#include "apps/everlong/verbs/convert.h"

#include <array>

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, Dialect>, 1> kDialects{{{"hf", Dialect::hf}}};

}  // namespace

Syntax declare_convert(Syntax& program, ConvertOptions& options) {
  Syntax verb = program.verb("convert", "Write a model anew under the public names of its family");
  verb.value("SRC", options.source, Kind::path, "Model directory or run").required();
  verb.value("DST", options.destination, Kind::directory, "Model directory to write; new or empty").required();
  verb.choice("--to", options.to, Names<Dialect>(kDialects), "Names to write: hf, those of the family's Hugging Face code");
  verb.choice("--dtype", options.dtype, dtype_names(), "Storage type; default: as in the source");
  verb.json(options.json);
  verb.example("everlong convert runs/first models/mega --dtype bf16");
  return verb;
}

}  // namespace everlong::app
