#include "everlong/base/log.h"

#include <memory>
#include <mutex>
#include <utility>

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "everlong/base/environment.h"

namespace everlong {
namespace {

/// Standard error, within the frame if there is one.
class FramedSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FramedSink(spdlog::color_mode mode) : inner_(mode) {}

  void set_frame(LogFrame frame) {
    const std::lock_guard lock(mutex_);
    frame_ = std::move(frame);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (!frame_) return inner_.log(message);
    frame_([&] { inner_.log(message); });
  }
  void flush_() override { inner_.flush(); }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override { inner_.set_formatter(std::move(formatter)); }

 private:
  spdlog::sinks::stderr_color_sink_st inner_;
  LogFrame frame_;
};

const std::shared_ptr<FramedSink>& sink() {
  static const auto instance =
      std::make_shared<FramedSink>(environment_variable("NO_COLOR") ? spdlog::color_mode::never : spdlog::color_mode::automatic);
  return instance;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("everlong", sink());
    made->set_pattern("%^%v%$");
    return made;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) {
  logger().set_level(level == LogLevel::quiet ? spdlog::level::err : level == LogLevel::verbose ? spdlog::level::debug : spdlog::level::info);
}

void set_log_frame(LogFrame frame) { sink()->set_frame(std::move(frame)); }

void log_warning(std::string_view message) { logger().warn("warning: {}", message); }
void log_info(std::string_view message) { logger().info("{}", message); }
void log_debug(std::string_view message) { logger().debug("{}", message); }

}  // namespace everlong
