#pragma once
// config.json of a model directory, with the keys that nobody here knows kept.

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "everlong/base/config.h"

namespace everlong::checkpoint {

/// A public config.json. Keys that no field takes are kept and written back.
class ConfigDocument {
 public:
  ConfigDocument();
  ~ConfigDocument();
  ConfigDocument(const ConfigDocument& other);
  ConfigDocument& operator=(const ConfigDocument& other);

  using KeySet = std::set<std::string, std::less<>>;
  /// Says of which architecture a configuration with these keys and without a "model_type" is; empty = unknown.
  using Recognise = std::function<std::string(const KeySet&)>;

  /// Reads a file. Where it has no "model_type" and `recognise` knows its keys, or those of the object under its key "model", that is the
  /// configuration. Errors   IoError; FormatError if it is not a JSON object, or has no text "model_type" and is not recognised
  [[nodiscard]] static ConfigDocument read(const std::filesystem::path& path, const Recognise& recognise = {});

  [[nodiscard]] const std::string& model_type() const;
  [[nodiscard]] KeySet keys() const;

  /// The public class the file was saved from: the first of "architectures"; empty if it names none.
  [[nodiscard]] std::string saved_class() const;
  /// The names of "id2label" in the order of their ids; empty if there is none.
  /// Errors   FormatError if the ids are not 0, 1, 2, ...
  [[nodiscard]] std::vector<std::string> label_names() const;
  /// Replaces "id2label" and "label2id".
  void set_label_names(const std::vector<std::string>& names);

  /// Takes keys out that mean nothing here; those that are not there are passed over.
  void drop(const KeySet& keys);

  /// Replaces a text or a flag, or adds it.
  void set_text(const std::string& key, const std::string& value);
  void set_flag(const std::string& key, bool value);

  /// The configuration of one of several models that share a file, under a key of its own.
  /// Errors   FormatError if there is none, or it is not a JSON object with a text "model_type"
  [[nodiscard]] ConfigDocument part(const std::string& key) const;
  void set_part(const std::string& key, const ConfigDocument& part);

  /// What write() writes, as a document.
  [[nodiscard]] ConfigDocument with(const Fields& fields, std::string_view model_type, std::string_view head_class) const;

  /// Sets every field that the document names; null for a token id means none (-1). Returns the keys that are no field.
  /// Errors   InvalidArgument naming file and key if a value does not fit
  std::vector<std::string> apply(const Fields& fields) const;

  /// Writes the fields, "model_type", "architectures" and the kept unknown keys, atomically.
  void write(const std::filesystem::path& path, const Fields& fields, std::string_view model_type, std::string_view head_class) const;

 private:
  struct Content;
  std::unique_ptr<Content> content_;
};

}  // namespace everlong::checkpoint
