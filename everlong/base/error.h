#pragma once
// The four ways in which everlong refuses, and the one form their messages have.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace everlong {

/// The name of an op, a verb or a key, kept as a copy: where it came from may be gone when the message is made.
struct Place {
  Place() = default;
  Place(const char* given) : name(given) {}             // NOLINT(google-explicit-constructor)
  Place(std::string_view given) : name(given) {}        // NOLINT(google-explicit-constructor)
  Place(std::string given) : name(std::move(given)) {}  // NOLINT(google-explicit-constructor)

  std::string name;
};

/// What a message must say: where it happened, what was expected, what came, what to do about it.
/// Reads as "[ema] expected q [D, N] = [512, 16], got [512, 8]. Hint: ema_ndim in the config is 16."
struct Complaint {
  Place where;
  std::string expected;
  std::string got = {};   ///< left out of the message when empty
  std::string hint = {};  ///< left out of the message when empty
};

[[nodiscard]] std::string to_string(const Complaint& complaint);

/// Everything that everlong throws on purpose. The program turns it into one line on stderr and exit status 1 (2 for usage).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An argument, option or configuration that cannot be meant as given.
class InvalidArgument : public Error {
 public:
  explicit InvalidArgument(const Complaint& complaint) : Error(to_string(complaint)) {}
};

/// Where in a file something is wrong.
struct FileLocation {
  std::string file;
  int64_t offset = -1;     ///< byte offset, or line number where the format is text by lines; -1 = the file as a whole
  std::string field = {};  ///< name of the field, key or tensor; may be empty
};

/// A file whose content contradicts its format. Names file, offset and field.
class FormatError : public Error {
 public:
  FormatError(const FileLocation& location, std::string_view expected, std::string_view got, std::string_view hint = {});
  [[nodiscard]] const FileLocation& location() const { return location_; }

 private:
  FileLocation location_;
};

/// A carried state, run or checkpoint that belongs to something else.
class StateError : public Error {
 public:
  explicit StateError(const Complaint& complaint) : Error(to_string(complaint)) {}
};

/// Something that is understood and not offered; the hint says what to use instead.
class Unsupported : public Error {
 public:
  explicit Unsupported(const Complaint& complaint) : Error(to_string(complaint)) {}
};

/// The operating system refused: a file that is missing, a disk that is full.
class IoError : public Error {
 public:
  /// Errors   `error_number` is an errno value, named in the message
  IoError(std::string_view action, std::string_view path, int error_number, std::string_view hint = {});
};

/// Throws InvalidArgument unless `ok`. `complaint` is a callable returning a Complaint, so that the text is built only on failure.
template <class F>
void require(bool ok, F&& complaint) {
  if (!ok) [[unlikely]]
    throw InvalidArgument(complaint());
}

}  // namespace everlong
