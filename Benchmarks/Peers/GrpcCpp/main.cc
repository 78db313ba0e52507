#include "peer.h"

int main(int count, char **values) {
    if (count == 2 && strcmp(values[1], "server") == 0) return serve();
    return run_client(bench_parse(count, values));
}
