#include "everlong/text/stream_decoder.h"

#include "everlong/text/utf8.h"

namespace everlong::text {

std::string StreamDecoder::push(int32_t id) {
  tokenizer_->decode_next(id, position_, pending_);
  std::string text;
  pending_.erase(0, append_repaired(pending_, /*final=*/false, text));
  return text;
}

std::string StreamDecoder::flush() {
  std::string text;
  append_repaired(pending_, /*final=*/true, text);
  pending_.clear();
  position_ = {};
  return text;
}

}  // namespace everlong::text
