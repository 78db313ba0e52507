/// The media types a client takes, from its Accept header.
struct Accept: Sendable {
    private let ranges: [(type: Substring, quality: Int)]

    init(_ values: [String]) {
        ranges = values.flatMap { value in
            value.split(separator: ",").map { piece -> (type: Substring, quality: Int) in
                let parts = piece.split(separator: ";").map { $0.drop { $0 == " " } }
                var quality = 1000
                for part in parts.dropFirst() where part.lowercased().hasPrefix("q=") {
                    quality = Double(part.dropFirst(2).filter { $0 != " " }).map { Int(max(0, min($0, 1)) * 1000) } ?? 0
                }
                let type = (parts.first ?? "").lowercased().filter { $0 != " " && $0 != "\t" }
                return (Substring(type), quality)
            }
        }
    }

    /// The best of what is offered, the first among equals; nil when none is taken. No header takes anything.
    func choose(_ offered: [String]) -> String? {
        guard !ranges.isEmpty else { return offered.first }
        var best: (type: String, quality: Int)?
        for type in offered {
            let quality = self.quality(of: type)
            if quality > 0, quality > best?.quality ?? 0 { best = (type, quality) }
        }
        return best?.type
    }

    /// The most specific range decides.
    private func quality(of type: String) -> Int {
        let family = type.prefix { $0 != "/" } + "/*"
        for range in [type[...], family, "*/*"] {
            if let match = ranges.first(where: { $0.type == range }) { return match.quality }
        }
        return 0
    }
}
