#include "apps/everlong/guard.h"

#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "apps/everlong/output.h"
#include "everlong/base/error.h"

namespace everlong::app {
namespace {

void complain(const char* kind, const char* text) noexcept { std::fprintf(stderr, "%s%s\n", kind, text); }

/// What libraries say, without the stack trace that some append on further lines.
void complain_first_line(const char* text) noexcept {
  const char* end = text;
  while (*end != '\0' && *end != '\n') ++end;
  std::fprintf(stderr, "error: unexpected failure: %.*s\n", static_cast<int>(end - text), text);
}

}  // namespace

int guarded(const std::function<int()>& action) noexcept {
  try {
    const int status = action();
    flush_output();
    return status;
  } catch (const Interrupted&) {
    complain("", "interrupted");
    return kInterrupted;
  } catch (const BrokenPipe&) {
    return kFailure;
  } catch (const Error& error) {
    complain("error: ", error.what());
  } catch (const std::system_error& error) {
    complain("error: ", error.what());
  } catch (const std::bad_alloc&) {
    complain("error: ", "out of memory");
  } catch (const std::exception& error) {
    complain_first_line(error.what());
  } catch (...) {
    complain("error: ", "unexpected failure");
  }
  return kFailure;
}

}  // namespace everlong::app
