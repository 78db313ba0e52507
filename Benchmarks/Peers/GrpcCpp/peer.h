#ifndef PEER_H
#define PEER_H

#include "bench.h"

// Serves until standard input ends.
int serve();
// Runs one scenario and reports it.
int run_client(const bench_arguments &arguments);

#endif
