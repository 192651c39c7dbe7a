#pragma once
// Packed tokens on disk: Megatron's indexed datasets and nanoGPT's flat files, read by mapping and written as the text is encoded.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "everlong/data/corpus.h"
#include "everlong/data/megatron_index.h"
#include "everlong/data/packed_file.h"
#include "everlong/io/atomic_file.h"

namespace everlong::data {

/// A packed file, mapped, with what PREFIX.json says about it if there is one.
struct PackedFile {
  TokenPiece tokens;                   ///< vocab_size is for the caller to set
  std::vector<int64_t> document_lens;  ///< in tokens
  std::optional<PackedFileInfo> info;
};

/// Maps PREFIX.bin and reads PREFIX.idx.
/// Errors   IoError if one is missing; as parse_megatron_index and read_packed_file_info; FormatError if PREFIX.bin has another size than the index
/// says
[[nodiscard]] PackedFile open_megatron(const std::filesystem::path& prefix);

/// Maps nanoGPT's PREFIX.bin: uint16 tokens of one document.
/// Errors   IoError if it is missing; FormatError if its size is odd; as read_packed_file_info
/// Source   karpathy/nanoGPT, data/openwebtext/prepare.py. Exact.
[[nodiscard]] PackedFile open_nanogpt(const std::filesystem::path& prefix);

/// PREFIX.bin, PREFIX.json and (Megatron) PREFIX.idx in the making. None appears under its name before commit(), and the index goes last.
class PackedWriter {
 public:
  enum class Format { megatron, nanogpt };

  /// Errors   IoError; InvalidArgument if nanoGPT's uint16 cannot hold the vocabulary
  PackedWriter(std::filesystem::path prefix, Format format, int64_t vocab_size, std::string tokenizer_fingerprint);

  /// Appends a document of `size_bytes` UTF-8 bytes. An empty one is left out, as Megatron's tools do.
  /// Errors   InvalidArgument if an id is outside the vocabulary; IoError
  void add_document(std::span<const int32_t> tokens, int64_t size_bytes);

  /// Errors   IoError; files of the same name that were there before may then be partly replaced, which reading them notices by their sizes
  void commit(std::vector<std::string> sources);

  [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }
  [[nodiscard]] int64_t num_documents() const { return static_cast<int64_t>(index_.document_lens.size()); }

 private:
  std::filesystem::path prefix_;
  Format format_;
  PackedFileInfo info_;
  MegatronIndex index_;
  io::AtomicFile tokens_;
  int64_t num_tokens_ = 0;
  std::vector<std::byte> buffer_;
};

struct PackProgress {
  std::string file;
  int64_t documents = 0, tokens = 0, text_bytes = 0;  ///< so far, over all files
};

struct PackOptions {
  PackedWriter::Format format = PackedWriter::Format::megatron;
  ReadOptions read = {};
  std::optional<int32_t> eos_id = {};                      ///< a token written after every document
  std::function<void(const PackProgress&)> progress = {};  ///< called after every document
};

/// Encodes text files into a packed file, reading them as Corpus::read does, and returns what was written.
/// Cost     memory for one document, and 16 bytes for each document seen
/// Errors   as Corpus::read and PackedWriter; InvalidArgument if a file is packed already, or the end token is outside the vocabulary
PackProgress pack(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const std::filesystem::path& prefix,
                  const PackOptions& options = {});

}  // namespace everlong::data
