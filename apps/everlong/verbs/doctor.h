#pragma once
// everlong doctor: options, their declaration, and what runs.

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct DoctorOptions {
  bool json = false;
};

Syntax declare_doctor(Syntax& program, DoctorOptions& options);

/// Prints what this build is and what it found; the part about torch comes from the compute module.
/// Returns 1 if something that computing needs is missing.
int run_doctor(const DoctorOptions& options, const GlobalOptions& globals);

}  // namespace everlong::app
