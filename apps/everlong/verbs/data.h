#pragma once
// everlong data pack|info|make: options, their declaration, and what runs without torch.

#include <optional>
#include <string>
#include <vector>

#include "apps/everlong/syntax.h"
#include "apps/everlong/verbs/data_make.h"

namespace everlong::app {

enum class DataAction { pack, info, make };
enum class CorpusFormat { megatron, nanogpt };

struct DataOptions {
  DataAction action = DataAction::info;
  std::vector<std::string> files;  ///< pack
  std::string tokenizer;           ///< pack
  std::string out;                 ///< pack: prefix of the files written
  CorpusFormat format = CorpusFormat::megatron;
  std::optional<std::string> separator;  ///< pack: line between documents of a text file
  bool end_of_document = false;          ///< pack: the end token after each
  std::string path;                      ///< info
  DataMakeOptions make;                  ///< make
  bool json = false;
};

Syntax declare_data(Syntax& program, DataOptions& options);

/// Reads headers only; no torch.
/// Errors   FormatError if the files contradict their format
int run_data_info(const DataOptions& options);

}  // namespace everlong::app
