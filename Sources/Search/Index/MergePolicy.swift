/// Which segments to merge: tiers of similar size, so that a chunk is rewritten about log(n) times.
struct MergePolicy {
    var fanout: Int
    /// Segments beyond which the smallest are merged whatever their tiers.
    var segmentsMax: Int
    /// Live chunks of a merged segment.
    var segmentChunksMax: Int

    /// What the policy looks at.
    struct Candidate {
        var chunks: Int
        var liveChunks: Int
    }

    /// Indexes of the segments to merge into one; nil when all is well. A single index means: rewrite without its dead chunks.
    func pick(_ segments: [Candidate]) -> [Int]? {
        if let dead = segments.firstIndex(where: { $0.liveChunks * 2 < $0.chunks }) { return [dead] }
        let small = segments.indices
            .filter { segments[$0].liveChunks * 2 <= segmentChunksMax }
            .sorted { (segments[$0].liveChunks, $0) < (segments[$1].liveChunks, $1) }
        var tiers: [Int: [Int]] = [:]
        for index in small { tiers[tier(of: segments[index].liveChunks), default: []].append(index) }
        for (_, members) in tiers.sorted(by: { $0.key < $1.key }) where members.count >= fanout {
            if let fitting = fitting(members, segments) { return fitting }
        }
        guard segments.count > segmentsMax else { return nil }
        return fitting(Array(small.prefix(max(fanout, segments.count - segmentsMax + 1))), segments)
    }

    /// The first members that fit into one segment; nil for fewer than two.
    private func fitting(_ members: [Int], _ segments: [Candidate]) -> [Int]? {
        var total = 0
        let fitting = members.prefix { index in
            total += segments[index].liveChunks
            return total <= segmentChunksMax
        }
        return fitting.count > 1 ? Array(fitting) : nil
    }

    /// 0 for fewer than `fanout` chunks, 1 for fewer than its square, and so on.
    private func tier(of chunks: Int) -> Int {
        var tier = 0
        var rest = chunks / fanout
        while rest > 0 {
            tier += 1
            rest /= fanout
        }
        return tier
    }
}
