#include "apps/everlong/output.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"

namespace everlong::app {
namespace {

[[noreturn]] void refuse_output(int error_number) {
  if (error_number == EPIPE) throw BrokenPipe{};
  throw IoError("write", "standard output", error_number);
}

/// Scales by `base` until the number has at most three digits before the point.
std::pair<double, size_t> scaled(double value, double base, size_t last) {
  size_t power = 0;
  while (std::abs(value) >= base && power < last) {
    value /= base;
    ++power;
  }
  return {value, power};
}

std::string three_digits(double value) {
  const double size = std::abs(value);
  return fmt::format("{:.{}f}", value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

nlohmann::ordered_json to_json(const ConfigValue& value) {
  struct Converter {
    nlohmann::ordered_json operator()(std::monostate) const { return nullptr; }
    nlohmann::ordered_json operator()(bool flag) const { return flag; }
    nlohmann::ordered_json operator()(int64_t integer) const { return integer; }
    nlohmann::ordered_json operator()(double number) const { return number; }
    nlohmann::ordered_json operator()(const std::string& text) const { return text; }
    nlohmann::ordered_json operator()(const std::vector<std::string>& list) const { return list; }
  };
  return std::visit(Converter{}, value);
}

}  // namespace

void print(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) refuse_output(errno);
}

void flush_output() {
  errno = 0;
  if (std::fflush(stdout) != 0) refuse_output(errno);
}

std::string human_bytes(int64_t bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  const auto [value, power] = scaled(static_cast<double>(bytes), 1024, kUnits.size() - 1);
  return power == 0 ? fmt::format("{} B", bytes) : fmt::format("{} {}", three_digits(value), kUnits[power]);
}

std::string human_count(double count) {
  constexpr std::array<const char*, 5> kUnits{"", "k", "M", "G", "T"};
  if (!std::isfinite(count)) return fmt::format("{}", count);
  const auto [value, power] = scaled(count, 1000, kUnits.size() - 1);
  return power == 0 ? fmt::format("{:.{}f}", value, value == std::floor(value) ? 0 : 1) : three_digits(value) + kUnits[power];
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto total = static_cast<int64_t>(std::llround(seconds));
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{} min {:02} s", total / 60, total % 60);
  if (total < 86400) return fmt::format("{} h {:02} min", total / 3600, total % 3600 / 60);
  return fmt::format("{} d {:02} h", total / 86400, total % 86400 / 3600);
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out;
}

int display_width(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void Table::add_row(std::vector<std::string> cells) {
  require(cells.size() == columns_.size(),
          [&] { return Complaint{.where = "table", .expected = fmt::format("{} cells", columns_.size()), .got = fmt::format("{}", cells.size())}; });
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  if (rows_.empty()) return {};
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns_) lines.front().push_back(column.title);
  lines.insert(lines.end(), rows_.begin(), rows_.end());
  std::vector<int> widths(columns_.size(), 0);
  for (const auto& line : lines)
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], display_width(line[i]));
  std::string out;
  for (const auto& line : lines) {
    std::string row;
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string padding(static_cast<size_t>(widths[i] - display_width(line[i])), ' ');
      row += (i == 0 ? "" : "  ") + (columns_[i].align == Align::right ? padding + line[i] : line[i] + padding);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    out += row + "\n";
  }
  return out;
}

std::string facts_as_text(const std::vector<Fact>& facts) {
  int width = 0;
  for (const Fact& fact : facts) width = std::max(width, display_width(fact.name));
  std::string out, section;
  for (const Fact& fact : facts) {
    if (fact.section != section) out += fmt::format("{}{}\n", section.empty() ? "" : "\n", fact.section);
    section = fact.section;
    out += fmt::format("  {}{}  {}\n", fact.name, std::string(static_cast<size_t>(width - display_width(fact.name)), ' '),
                       printable(to_text(fact.value)));
  }
  return out;
}

std::string facts_as_json(const std::vector<Fact>& facts) {
  auto document = nlohmann::ordered_json::object();
  for (const Fact& fact : facts) document[fact.section][fact.name] = to_json(fact.value);
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace everlong::app
