#include "apps/everlong/verbs/convert.h"

namespace everlong::app {

Syntax declare_convert(Syntax& program, ConvertOptions& options) {
  Syntax verb = program.verb("convert", "Convert a checkpoint between the dialects of its family");
  verb.value("SRC", options.source, Kind::path, "Checkpoint file or model directory").required();
  verb.value("DST", options.destination, Kind::directory, "Model directory to write").required();
  verb.value("--to", options.to, Kind::text, "Dialect to write; default: the family's public one");
  verb.choice("--dtype", options.dtype, dtype_names(), "Storage type; default: as in the source");
  verb.json(options.json);
  verb.example("everlong convert checkpoint_best.pt models/mega");
  return verb;
}

}  // namespace everlong::app
