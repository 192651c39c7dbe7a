#include "apps/everlong/verbs/convert.h"

#include <array>

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, Dialect>, 5> kDialects{{{"hf", Dialect::hf},
                                                                         {"fairseq", Dialect::fairseq},
                                                                         {"consolidated", Dialect::consolidated},
                                                                         {"megalodon-hf", Dialect::megalodon_hf},
                                                                         {"megalodon-jax", Dialect::megalodon_jax}}};
constexpr std::array<std::pair<std::string_view, WeightForm>, 2> kForms{{{"safetensors", WeightForm::safetensors}, {"bin", WeightForm::bin}}};

}  // namespace

Syntax declare_convert(Syntax& program, ConvertOptions& options) {
  Syntax verb = program.verb("convert", "Write a model anew: under the public names of its family, or for other code that runs it");
  verb.value("SRC", options.source, Kind::path, "Model directory in any dialect, run, or checkpoint file (.pt, .safetensors) of other code")
      .required();
  verb.value("DST", options.destination, Kind::path, "Folder to write, new or empty; with --to fairseq or megalodon-jax, a new file").required();
  verb.choice("--to", options.to, Names<Dialect>(kDialects),
              "Who is to read it: hf, everlong and the family's Hugging Face code; fairseq, MEGA's original release; consolidated, Megalodon's "
              "release; megalodon-hf and megalodon-jax, its ports");
  verb.choice("--dtype", options.dtype, dtype_names(), "Storage type; default: as in the source");
  verb.choice("--format", options.format, Names<WeightForm>(kForms),
              "Files of a folder for Hugging Face code: safetensors, or bin, that is pytorch_model.bin");
  verb.value("--max-shard-size", options.max_shard_size, Kind::text, "Split weights into files of at most that many bytes, such as 2GB or 500MB");
  verb.value("--task", options.task, Kind::text, "Head to write, such as masked-lm or sequence-classification; default: the source's");
  verb.flag("--decoder", options.decoder, "Make a decoder of an encoder: causal, with the forward half of its moving averages");
  verb.json(options.json);
  verb.example("everlong convert checkpoint_best.pt models/lra");
  verb.example("everlong convert runs/first models/mega --dtype bf16");
  verb.example("everlong convert runs/megalodon megalodon.safetensors --to megalodon-jax");
  return verb;
}

}  // namespace everlong::app
