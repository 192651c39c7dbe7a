#include "everlong/io/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"

namespace everlong::io {
namespace {

constexpr size_t kFlushBytes = size_t{1} << 16;

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = crc;
  }
  return table;
}

/// The protobuf wire format, as far as events need it.
class Message {
 public:
  Message& varint(int field, uint64_t value) {
    put_varint(static_cast<uint64_t>(field) << 3);
    put_varint(value);
    return *this;
  }
  Message& fixed64(int field, double value) {
    put_varint(static_cast<uint64_t>(field) << 3 | 1);
    put_little_endian(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  Message& fixed32(int field, float value) {
    put_varint(static_cast<uint64_t>(field) << 3 | 5);
    put_little_endian(std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    put_varint(static_cast<uint64_t>(field) << 3 | 2);
    put_varint(value.size());
    text_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.text_); }
  void put_little_endian(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) text_ += static_cast<char>(value >> (8 * i) & 0xFF);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void put_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }

  std::string text_;
};

/// Numbers of the fields in TensorBoard's event.proto, summary.proto and tensor.proto.
namespace field {
constexpr int kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5;
constexpr int kSummaryValue = 1, kValueTag = 1, kValueSimple = 2, kValueTensor = 8, kValueMetadata = 9;
constexpr int kMetadataPlugin = 1, kPluginName = 1;
constexpr int kTensorDtype = 1, kTensorShape = 2, kTensorText = 8, kShapeDim = 2, kDimSize = 1;
constexpr uint64_t kDtypeText = 7;
}  // namespace field

/// CRCs of data that may itself hold CRCs are stored rotated and shifted.
uint32_t masked_crc(std::string_view text) { return std::rotr(crc32c(std::as_bytes(std::span(text))), 15) + 0xA282EAD8U; }

double now_seconds() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

void check_utf8(std::string_view what, std::string_view text) {
  require(is_valid_utf8(text), [&] { return Complaint{.where = what, .expected = "valid UTF-8", .got = excerpt(text)}; });
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  static constexpr auto kTable = crc_table();
  uint32_t crc = ~0U;
  for (const std::byte byte : bytes) crc = crc >> 8 ^ kTable[(crc ^ std::to_integer<uint32_t>(byte)) & 0xFF];
  return ~crc;
}

EventWriter::EventWriter(const std::filesystem::path& folder) {
  static std::atomic<int> counter{0};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw IoError("create", folder.string(), error.value());
  // TensorBoard reads the files of a folder in the order of their names, hence the seconds with ten digits in front.
  const auto seconds = static_cast<int64_t>(now_seconds());
  path_ = folder / fmt::format("events.out.tfevents.{:010}.{}.{}.{}", seconds, host_name(), ::getpid(), counter++);
  file_ = FileDescriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666));
  if (!file_.is_open()) throw IoError("create", path_.string(), errno);
  add_event(0, std::nullopt, field::kEventFileVersion, "brain.Event:2");
  flush();
}

EventWriter::~EventWriter() {
  try {
    flush();
  } catch (const Error&) {
  }
}

void EventWriter::add_scalar(std::string_view tag, int64_t step, double value, std::optional<double> wall_time) {
  check_utf8("tag", tag);
  const auto summary_value = Message().bytes(field::kValueTag, tag).fixed32(field::kValueSimple, static_cast<float>(value));
  add_event(step, wall_time, field::kEventSummary, Message().message(field::kSummaryValue, summary_value).text());
}

void EventWriter::add_text(std::string_view tag, int64_t step, std::string_view text, std::optional<double> wall_time) {
  check_utf8("tag", tag);
  check_utf8("text", text);
  const auto plugin = Message().bytes(field::kPluginName, "text");
  const auto shape = Message().message(field::kShapeDim, Message().varint(field::kDimSize, 1));
  const auto tensor = Message().varint(field::kTensorDtype, field::kDtypeText).message(field::kTensorShape, shape).bytes(field::kTensorText, text);
  const auto summary_value = Message()
                                 .bytes(field::kValueTag, tag)
                                 .message(field::kValueTensor, tensor)
                                 .message(field::kValueMetadata, Message().message(field::kMetadataPlugin, plugin));
  add_event(step, wall_time, field::kEventSummary, Message().message(field::kSummaryValue, summary_value).text());
}

void EventWriter::add_event(int64_t step, std::optional<double> wall_time, int event_field, std::string_view payload) {
  Message event;
  event.fixed64(field::kEventWallTime, wall_time.value_or(now_seconds())).varint(field::kEventStep, static_cast<uint64_t>(step));
  event.bytes(event_field, payload);
  Message length, length_crc, event_crc;
  length.put_little_endian(event.text().size(), 8);
  event_crc.put_little_endian(masked_crc(event.text()), 4);
  length_crc.put_little_endian(masked_crc(length.text()), 4);
  buffer_ += length.text() + length_crc.text() + event.text() + event_crc.text();
  if (buffer_.size() >= kFlushBytes) flush();
}

void EventWriter::flush() {
  const std::string records = std::exchange(buffer_, {});
  write_all(file_, std::as_bytes(std::span(records)), path_);
}

}  // namespace everlong::io
