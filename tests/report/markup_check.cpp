#include "tests/report/markup_check.h"

#include <cctype>
#include <set>
#include <stdexcept>

namespace everlong::testing {
namespace {

const std::set<std::string, std::less<>> kVoid = {"meta", "link", "br", "hr", "img", "input"};
const std::set<std::string, std::less<>> kRaw = {"script", "style"};

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::vector<Element> read() {
    while (at_ < text_.size()) {
      if (text_[at_] != '<') {
        read_text();
      } else if (starts("<!--")) {
        skip_past("-->");
      } else if (starts("<!DOCTYPE")) {
        skip_past(">");
      } else if (starts("</")) {
        close();
      } else {
        open();
      }
    }
    if (!open_.empty()) fail("never closed: " + open_.back());
    return std::move(elements_);
  }

 private:
  [[nodiscard]] bool starts(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(what + " at " + std::to_string(at_) + ": " + std::string(text_.substr(at_, 60)));
  }
  void skip_past(std::string_view end) {
    const size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) fail("no " + std::string(end));
    at_ = found + end.size();
  }
  void check_entities(std::string_view text) const {
    for (size_t i = text.find('&'); i != std::string_view::npos; i = text.find('&', i + 1)) {
      const size_t end = text.find(';', i);
      if (end == std::string_view::npos || end - i > 8 || end - i < 2) fail("bare ampersand");
    }
  }
  void read_text() {
    const std::string_view text = text_.substr(at_, text_.find('<', at_) - at_);
    check_entities(text);
    if (text.find('\0') != std::string_view::npos) fail("a NUL");
    if (!elements_.empty() && is_first_text_) elements_.back().text = text;
    is_first_text_ = false;
    at_ += text.size();
  }
  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-' || text_[at_] == ':')) ++at_;
    if (at_ == begin) fail("expected a name");
    return std::string(text_.substr(begin, at_ - begin));
  }
  void space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  void close() {
    at_ += 2;
    const std::string tag = name();
    if (open_.empty() || open_.back() != tag) fail("closes " + tag + " inside " + (open_.empty() ? "nothing" : open_.back()));
    open_.pop_back();
    if (!starts(">")) fail("expected >");
    ++at_;
    is_first_text_ = false;
  }
  void attribute(Element& element) {
    const std::string key = name();
    std::string value;
    if (starts("=")) {
      if (text_.substr(at_, 2) != "=\"") fail("attribute without quotes");
      at_ += 2;
      const size_t end = text_.find('"', at_);
      if (end == std::string_view::npos) fail("attribute without end");
      value = text_.substr(at_, end - at_);
      if (value.find('<') != std::string::npos) fail("< in attribute");
      check_entities(value);
      at_ = end + 1;
    }
    if (!element.attributes.emplace(key, value).second) fail("attribute twice: " + key);
    if (key == "id" && !ids_.insert(value).second) fail("id twice: " + value);
  }
  void open() {
    ++at_;
    Element element;
    element.name = name();
    for (space(); !starts(">") && !starts("/>"); space()) attribute(element);
    const bool is_empty = starts("/>");
    at_ += is_empty ? 2 : 1;
    const std::string tag = element.name;
    elements_.push_back(std::move(element));
    is_first_text_ = true;
    if (is_empty || kVoid.count(tag) > 0) return;
    open_.push_back(tag);
    if (kRaw.count(tag) == 0) return;
    const size_t end = text_.find("</" + tag, at_);
    if (end == std::string_view::npos) fail("raw text without end");
    elements_.back().text = text_.substr(at_, end - at_);
    if (tag == "script" && elements_.back().text.find("<!--") != std::string::npos) fail("<!-- in a script");
    at_ = end;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool is_first_text_ = false;
  std::vector<std::string> open_;
  std::vector<Element> elements_;
  std::set<std::string> ids_;
};

}  // namespace

std::vector<Element> read_markup(std::string_view text) { return Reader(text).read(); }

}  // namespace everlong::testing
