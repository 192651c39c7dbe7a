#include "apps/everlong/verbs/doctor.h"

#include <vector>

#include "apps/everlong/compute/loader.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/machine.h"
#include "apps/everlong/output.h"
#include "everlong/base/error.h"

namespace everlong::app {

Syntax declare_doctor(Syntax& program, DoctorOptions& options) {
  Syntax verb = program.verb("doctor", "Show what this build is, what it found, and what is missing");
  verb.json(options.json);
  return verb;
}

int run_doctor(const DoctorOptions& options, const GlobalOptions& globals) {
  std::vector<Fact> facts;
  append_build_facts(facts);
  append_machine_facts(facts);
  int status = kSuccess;
  try {
    status = compute(globals).probe(facts);
    facts.push_back({"compute module", "usable", status == kSuccess});
  } catch (const Error& error) {
    facts.push_back({"compute module", "usable", false});
    facts.push_back({"compute module", "reason", std::string(error.what())});
    status = kFailure;
  }
  print(options.json ? facts_as_json(facts) : facts_as_text(facts));
  return status;
}

}  // namespace everlong::app
