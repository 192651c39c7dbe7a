#pragma once
// The one place where exceptions become messages and exit statuses. Used by the program and by the compute module:
// no exception crosses from one to the other.

#include <functional>

namespace everlong::app {

inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;
inline constexpr int kInterrupted = 130;

/// Thrown by a verb that stopped because the user asked it to.
struct Interrupted {};

/// Runs `action`, makes sure that its output has arrived, and returns its exit status; prints what it throws and returns the status for that.
int guarded(const std::function<int()>& action) noexcept;

}  // namespace everlong::app
