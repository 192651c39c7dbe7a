#pragma once
// Data for standard output: tables, quantities with units, JSON. Messages for people go through terminal.h.

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/base/config.h"

namespace everlong::app {

/// Writes to standard output.
/// Errors   BrokenPipe if nobody reads any more; IoError if the system refuses otherwise
void print(std::string_view text);

/// Makes sure that all of standard output has arrived. Errors as print().
void flush_output();

/// The reader of standard output went away: not worth a message.
struct BrokenPipe {};

/// "512 B", "1.5 KiB", "3.2 GiB"
[[nodiscard]] std::string human_bytes(int64_t bytes);
/// "950", "12.3k", "1.25M", "7.1G"
[[nodiscard]] std::string human_count(double count);
/// "12 s", "3 min 05 s", "2 h 10 min", "3 d 04 h"
[[nodiscard]] std::string human_duration(double seconds);

/// Text from a file, fit for a terminal: control characters as \xNN, nothing else changed.
[[nodiscard]] std::string printable(std::string_view text);

/// Columns that text takes on a terminal: code points, for want of anything simpler that is right for Latin, Greek, Cyrillic.
[[nodiscard]] int display_width(std::string_view text);

enum class Align { left, right };

/// Rows of text in aligned columns, two spaces apart.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Errors   InvalidArgument if the number of cells is not the number of columns
  void add_row(std::vector<std::string> cells);

  /// The table with its titles; nothing if it has no rows. No line ends in a space.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// A named value of a report that reads the same as text and as JSON.
struct Fact {
  std::string section;
  std::string name;
  ConfigValue value;
};

/// "name   value" lines under their sections.
[[nodiscard]] std::string facts_as_text(const std::vector<Fact>& facts);
/// {"section": {"name": value}}, one line, with a newline.
[[nodiscard]] std::string facts_as_json(const std::vector<Fact>& facts);

}  // namespace everlong::app
