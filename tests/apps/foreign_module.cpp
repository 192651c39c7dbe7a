// Stands where libeverlong_compute.so should be, and says that it is of another build.

struct ForeignTable {
  const char* build;
};

extern "C" __attribute__((visibility("default"))) const void* everlong_compute_table() {
  static const ForeignTable table{"0.0.1 (another build)"};
  return &table;
}
