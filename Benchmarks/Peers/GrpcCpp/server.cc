// gRPC C++'s asynchronous server: one completion queue, one thread. `server` prints its port and serves until its input ends.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "bench.grpc.pb.h"
#include "bench.h"
#include "peer.h"

namespace {
using acp::bench::v1::Bench;
using acp::bench::v1::Chunk;
using acp::bench::v1::Hit;
using acp::bench::v1::SearchRequest;
using acp::bench::v1::SearchResponse;

// Calls of one method that wait to be taken: more than a client has in flight, so that none waits for us.
constexpr int kWaiting = 128;

std::string passage() {
    char text[BENCH_TEXT_BYTES + 1];
    bench_fill_text(text);
    return text;
}

void build_reply(SearchResponse *reply) {
    static const std::string text = passage();
    for (int i = 0; i < BENCH_HITS; i++) {
        Hit *hit = reply->add_hits();
        hit->set_document_id(bench_document_ids[i]);
        hit->set_revision_id(bench_revision_ids[i]);
        hit->set_chunk_id(bench_chunk_ids[i]);
        hit->set_start(1000 * i + 17);
        hit->set_end(1000 * i + 17 + BENCH_TEXT_BYTES);
        hit->set_hash(std::string(32, static_cast<char>(i + 1)));
        hit->set_score(12.5 - i);
        hit->set_title(bench_title);
        for (const char *heading : bench_headings) hit->add_heading_path(heading);
        hit->set_page(i + 3);
        hit->set_text(text);
        for (const auto &range : bench_highlights) {
            auto *highlight = hit->add_highlights();
            highlight->set_start(range[0]);
            highlight->set_end(range[1]);
        }
        hit->set_collection(bench_collection);
        hit->set_origin(bench_origin);
        for (const auto &pair : bench_metadata) (*hit->mutable_metadata())[pair[0]] = pair[1];
    }
    reply->set_sequence(48213);
    reply->set_candidates(137);
    reply->set_coverage(0.82);
    reply->set_index_us(412);
}

class Call {
  public:
    virtual ~Call() = default;
    virtual void proceed(bool ok) = 0;
};

template <bool is_search, typename Reply>
class UnaryCall final : public Call {
  public:
    UnaryCall(Bench::AsyncService *service, grpc::ServerCompletionQueue *queue)
        : service_(service), queue_(queue), writer_(&context_) {
        if constexpr (is_search) {
            service_->RequestSearch(&context_, &request_, &writer_, queue_, queue_, this);
        } else {
            service_->RequestEcho(&context_, &request_, &writer_, queue_, queue_, this);
        }
    }

    void proceed(bool ok) override {
        if (!ok || finished_) {
            delete this;
            return;
        }
        new UnaryCall(service_, queue_);
        finished_ = true;
        if constexpr (is_search) {
            SearchResponse reply;
            build_reply(&reply);
            writer_.Finish(reply, grpc::Status::OK, this);
        } else {
            writer_.Finish(request_, grpc::Status::OK, this);
        }
    }

  private:
    Bench::AsyncService *service_;
    grpc::ServerCompletionQueue *queue_;
    grpc::ServerContext context_;
    SearchRequest request_;
    grpc::ServerAsyncResponseWriter<Reply> writer_;
    bool finished_ = false;
};

class StreamCall final : public Call {
  public:
    StreamCall(Bench::AsyncService *service, grpc::ServerCompletionQueue *queue)
        : service_(service), queue_(queue), writer_(&context_) {
        service_->RequestStream(&context_, &request_, &writer_, queue_, queue_, this);
    }

    void proceed(bool ok) override {
        if (!ok || finished_) {
            delete this;
            return;
        }
        if (sent_ == 0) {
            new StreamCall(service_, queue_);
            chunk_.set_data(std::string(BENCH_CHUNK_BYTES, 'x'));
        }
        if (sent_ < request_.limit()) {
            sent_++;
            writer_.Write(chunk_, this);
        } else {
            finished_ = true;
            writer_.Finish(grpc::Status::OK, this);
        }
    }

  private:
    Bench::AsyncService *service_;
    grpc::ServerCompletionQueue *queue_;
    grpc::ServerContext context_;
    SearchRequest request_;
    grpc::ServerAsyncWriter<Chunk> writer_;
    Chunk chunk_;
    uint32_t sent_ = 0;
    bool finished_ = false;
};
}  // namespace

int serve() {
    Bench::AsyncService service;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr || port == 0) {
        fprintf(stderr, "the gRPC server cannot listen on 127.0.0.1\n");
        return 1;
    }
    for (int i = 0; i < kWaiting; i++) {
        new UnaryCall<false, SearchRequest>(&service, queue.get());
        new UnaryCall<true, SearchResponse>(&service, queue.get());
    }
    new StreamCall(&service, queue.get());
    printf("%d\n", port);
    fflush(stdout);
    std::thread loop([&queue] {
        void *tag;
        bool ok;
        while (queue->Next(&tag, &ok)) static_cast<Call *>(tag)->proceed(ok);
    });
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    server->Shutdown(std::chrono::system_clock::now());
    queue->Shutdown();
    loop.join();
    return 0;
}
