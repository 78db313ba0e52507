// gRPC C++'s asynchronous client: one channel, one completion queue, one thread.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench.grpc.pb.h"
#include "bench.h"
#include "peer.h"

namespace {
using acp::bench::v1::Bench;
using acp::bench::v1::Chunk;
using acp::bench::v1::SearchRequest;
using acp::bench::v1::SearchResponse;

void fail(const grpc::Status &status) {
    fprintf(stderr, "the call failed: %d %s\n", static_cast<int>(status.error_code()), status.error_message().c_str());
    exit(1);
}

uint64_t check(const SearchRequest &reply) { return reply.query().size(); }

// Reads a field of each hit.
uint64_t check(const SearchResponse &reply) {
    uint64_t sum = 0;
    for (const auto &hit : reply.hits()) sum += hit.text().size() + hit.start();
    return sum;
}

// A place for one call in flight.
template <typename Reply>
struct Slot {
    std::optional<grpc::ClientContext> context;
    Reply reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Reply>> reader;

    void start(Bench::Stub *stub, grpc::CompletionQueue *queue, const SearchRequest &request) {
        context.emplace();
        context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(BENCH_DEADLINE_SECONDS));
        if constexpr (std::is_same_v<Reply, SearchResponse>) {
            reader = stub->AsyncSearch(&*context, request, queue);
        } else {
            reader = stub->AsyncEcho(&*context, request, queue);
        }
        reader->Finish(&reply, &status, this);
    }
};

template <typename Reply>
Slot<Reply> *next(grpc::CompletionQueue *queue) {
    void *tag;
    bool ok;
    if (!queue->Next(&tag, &ok) || !ok) {
        fprintf(stderr, "the completion queue ended\n");
        exit(1);
    }
    auto *slot = static_cast<Slot<Reply> *>(tag);
    if (!slot->status.ok()) fail(slot->status);
    return slot;
}

// Keeps `in_flight` calls running for `seconds`; returns how many finished.
template <typename Reply>
uint64_t run(Bench::Stub *stub, const SearchRequest &request, int in_flight, double seconds, uint64_t *checksum) {
    grpc::CompletionQueue queue;
    std::vector<Slot<Reply>> slots(in_flight);
    uint64_t end = bench_now() + static_cast<uint64_t>(seconds * 1e9), calls = 0;
    for (auto &slot : slots) slot.start(stub, &queue, request);
    int running = in_flight;
    while (running > 0) {
        Slot<Reply> *slot = next<Reply>(&queue);
        *checksum = check(slot->reply);
        calls++;
        if (bench_now() < end) {
            slot->start(stub, &queue, request);
        } else {
            running--;
        }
    }
    queue.Shutdown();
    return calls;
}

template <typename Reply>
void throughput(Bench::Stub *stub, const SearchRequest &request, const bench_arguments &a) {
    uint64_t checksum = 0;
    run<Reply>(stub, request, a.in_flight, a.seconds / 5, &checksum);
    uint64_t cpu = bench_cpu(a.server), start = bench_now();
    uint64_t calls = run<Reply>(stub, request, a.in_flight, a.seconds, &checksum);
    bench_report(calls, bench_now() - start, bench_cpu(a.server) - cpu, 0, checksum);
}

void latency(Bench::Stub *stub, const SearchRequest &request, const bench_arguments &a) {
    uint64_t checksum = 0;
    run<SearchRequest>(stub, request, 1, a.seconds / 5, &checksum);
    grpc::CompletionQueue queue;
    Slot<SearchRequest> slot;
    std::vector<uint32_t> values;
    values.reserve(1 << 20);
    uint64_t end = bench_now() + static_cast<uint64_t>(a.seconds * 1e9), start;
    while ((start = bench_now()) < end) {
        slot.start(stub, &queue, request);
        next<SearchRequest>(&queue);
        values.push_back(static_cast<uint32_t>(bench_now() - start));
    }
    bench_report_latency(values.data(), values.size());
    queue.Shutdown();
}

// Reads `messages` messages; returns their bytes of data.
uint64_t stream(Bench::Stub *stub, uint32_t messages) {
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    SearchRequest request;
    request.set_limit(messages);
    auto reader = stub->AsyncStream(&context, request, &queue, nullptr);
    Chunk chunk;
    uint64_t bytes = 0;
    void *tag;
    bool ok;
    queue.Next(&tag, &ok);
    while (ok) {
        reader->Read(&chunk, nullptr);
        queue.Next(&tag, &ok);
        if (ok) bytes += chunk.data().size();
    }
    grpc::Status status;
    reader->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    if (!status.ok()) fail(status);
    queue.Shutdown();
    return bytes;
}
}  // namespace

int run_client(const bench_arguments &a) {
    auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(a.port), grpc::InsecureChannelCredentials());
    auto stub = Bench::NewStub(channel);
    SearchRequest request;
    request.set_query(std::string(BENCH_ECHO_TEXT_BYTES, 'q'));
    std::string scenario = a.scenario;
    if (scenario == "echo") {
        throughput<SearchRequest>(stub.get(), request, a);
    } else if (scenario == "search") {
        throughput<SearchResponse>(stub.get(), request, a);
    } else if (scenario == "latency") {
        latency(stub.get(), request, a);
    } else if (scenario == "stream") {
        uint32_t messages = static_cast<uint32_t>(a.seconds * 8192);
        stream(stub.get(), messages / 8 + 1);
        uint64_t cpu = bench_cpu(a.server), start = bench_now();
        uint64_t bytes = stream(stub.get(), messages);
        bench_report(messages, bench_now() - start, bench_cpu(a.server) - cpu, bytes, 0);
    } else {
        fprintf(stderr, "there is no scenario %s\n", a.scenario);
        return 64;
    }
    return 0;
}
