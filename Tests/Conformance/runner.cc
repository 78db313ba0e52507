// protobuf's conformance runner with the suite of the binary and JSON formats alone: we have no text format.
#include "binary_json_conformance_suite.h"
#include "conformance_test.h"

int main(int argc, char *argv[]) {
  google::protobuf::BinaryAndJsonConformanceSuite suite;
  return google::protobuf::ForkPipeRunner::Run(argc, argv, {&suite});
}
