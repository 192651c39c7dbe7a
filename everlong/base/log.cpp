#include "everlong/base/log.h"

#include <memory>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "everlong/base/environment.h"

namespace everlong {
namespace {

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    const auto mode = environment_variable("NO_COLOR") ? spdlog::color_mode::never : spdlog::color_mode::automatic;
    auto made = std::make_shared<spdlog::logger>("everlong", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(mode));
    made->set_pattern("%^%v%$");
    return made;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) {
  logger().set_level(level == LogLevel::quiet ? spdlog::level::err : level == LogLevel::verbose ? spdlog::level::debug : spdlog::level::info);
}

void log_warning(std::string_view message) { logger().warn("warning: {}", message); }
void log_info(std::string_view message) { logger().info("{}", message); }
void log_debug(std::string_view message) { logger().debug("{}", message); }

}  // namespace everlong
