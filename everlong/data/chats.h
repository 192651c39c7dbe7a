#pragma once
// Conversations as documents whose answers are learned and whose other tokens are only read.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "everlong/data/corpus.h"
#include "everlong/io/json.h"
#include "everlong/text/chat_format.h"

namespace everlong::data {

/// One conversation in tokens.
struct EncodedChat {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> learned;  ///< 1: of an answer, end mark included
  int64_t bytes = 0;             ///< of the text
};

/// Encodes a conversation as its format writes it down. An answer is what the template adds to the text before it, which ends as a prompt for an
/// answer does; a token that reaches over that border is learned.
/// Errors   InvalidArgument if the template refuses the conversation, or writes the turns before an answer in another way once that is there
[[nodiscard]] EncodedChat encode_chat(const std::vector<text::ChatMessage>& messages, const text::ChatFormat& format,
                                      const text::Tokenizer& tokenizer);

/// The turns of one line: {"messages": [{"role": ..., "content": ...}, ...]} or {"prompt": ..., "response" or "completion": ...}. Other keys are
/// passed over. Errors   FormatError naming file, line and key; also if nobody with the role "assistant" says anything
[[nodiscard]] std::vector<text::ChatMessage> chat_of_line(const io::Json& line, std::string_view file, int64_t line_number);

/// Reads JSONL files, a conversation a line (.gz and .zst as they are), into documents. Texts that spell special tokens become these, as in
/// Transformers. Errors   IoError; InvalidArgument naming file and line; FormatError
[[nodiscard]] Corpus read_chats(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const text::ChatFormat& format);

}  // namespace everlong::data
