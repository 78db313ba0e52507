internal import Core
internal import Glibc

/// The files of one index: `manifest`, `segment-N`, `lock`, and `*.tmp` while one is being written.
struct IndexDirectory: Sendable {
    let path: String

    private func file(_ name: String) -> String { path + "/" + name }

    // MARK: Opening

    /// Reads what is there. Damage discards everything; only errors of the operating system are thrown.
    func open() throws -> (snapshot: IndexSnapshot, nextFileNumber: UInt64, report: IndexOpenReport) {
        let names = try Files.names(in: path).filter(isOurs)
        do {
            guard let bytes = try Files.read(file(Manifest.fileName), bytesMax: Manifest.bytesMax) else {
                // Segments without a manifest: a crash before the first one was written, or the manifest was deleted.
                for name in names { Files.remove(file(name)) }
                let lost = names.contains { !$0.hasSuffix(".tmp") }
                let outcome: IndexOpenReport.Outcome = lost ? .discarded(reason: "the manifest is missing") : .created
                return (IndexSnapshot(), 1, report(outcome, sequence: 0, leftovers: lost ? 0 : names.count))
            }
            let manifest = try Manifest(decoding: bytes)
            let views = try manifest.entries.map { try view($0) }
            let kept = Set(manifest.entries.map { Manifest.segmentName($0.fileNumber) } + [Manifest.fileName])
            let leftovers = names.filter { !kept.contains($0) }
            for name in leftovers { Files.remove(file(name)) }
            return (
                IndexSnapshot(files: views, sequence: manifest.sequence, durableSequence: manifest.sequence),
                manifest.nextFileNumber,
                report(.opened, sequence: manifest.sequence, leftovers: leftovers.count)
            )
        } catch let damage as IndexDamage {
            // The manifest first: a crash in the middle must not leave one that names files which are gone.
            Files.remove(file(Manifest.fileName))
            for name in names { Files.remove(file(name)) }
            return (IndexSnapshot(), 1, report(.discarded(reason: "\(damage.what)"), sequence: 0, leftovers: 0))
        }
    }

    private func report(_ outcome: IndexOpenReport.Outcome, sequence: Int64, leftovers: Int) -> IndexOpenReport {
        IndexOpenReport(outcome: outcome, sequence: sequence, leftoversRemoved: leftovers)
    }

    private func isOurs(_ name: String) -> Bool {
        name == Manifest.fileName || name.hasPrefix("segment-") || name == Manifest.fileName + ".tmp"
    }

    private func view(_ entry: Manifest.Entry) throws -> SegmentView {
        let bytes = try SegmentBytes(mapping: file(Manifest.segmentName(entry.fileNumber)))
        guard UInt64(bytes.bytes.count) == entry.byteCount, Self.checksum(of: bytes) == entry.checksum else {
            throw IndexDamage("a segment file is not the one the manifest names")
        }
        let segment = try Segment(bytes)
        guard let dead = BitSet(capacity: segment.documentCount, words: entry.dead) else {
            throw IndexDamage("the manifest does not fit its segments")
        }
        return try SegmentView(segment, fileNumber: entry.fileNumber, dead: dead)
    }

    private static func checksum(of bytes: SegmentBytes) -> UInt64 {
        (try? bytes.bytes.u64(at: bytes.bytes.count - 8)) ?? 0
    }

    // MARK: Writing

    /// Merges `sources` into the segment file `number`, durably. The file belongs to no manifest yet.
    func writeSegment(_ number: UInt64, merging sources: [SegmentView]) throws -> SegmentView {
        let path = file(Manifest.segmentName(number))
        let temporary = path + ".tmp"
        let descriptor = try Files.create(temporary)
        do {
            defer { close(descriptor) }
            _ = try SegmentMerger.merge(sources, into: ByteSink(descriptor: descriptor, path: temporary))
            try Files.sync(descriptor, temporary)
            try Files.rename(temporary, to: path)
        } catch {
            Files.remove(temporary)
            throw error
        }
        // Verified at every open; what was just written is not read back.
        return SegmentView(try Segment(SegmentBytes(mapping: path, verifyChecksum: false)), fileNumber: number)
    }

    /// Makes `files` and `sequence` the durable state. Throws before the rename with nothing changed.
    func writeManifest(files: [SegmentView], sequence: Int64, nextFileNumber: UInt64) throws {
        let entries = files.compactMap { view in
            view.fileNumber.map { number in
                Manifest.Entry(
                    fileNumber: number, byteCount: UInt64(view.segment.byteCount),
                    checksum: Self.checksum(of: view.segment.owner), dead: view.deadDocuments.words)
            }
        }
        let encoded = Manifest(sequence: sequence, nextFileNumber: nextFileNumber, entries: entries).encoded
        let temporary = file(Manifest.fileName + ".tmp")
        let descriptor = try Files.create(temporary)
        do {
            defer { close(descriptor) }
            try encoded.withUnsafeBytes { try Files.writeAll($0, to: descriptor, temporary) }
            try Files.sync(descriptor, temporary)
            // Segments were renamed before: their names are durable before the manifest that names them.
            try Files.syncDirectory(path)
            try Files.rename(temporary, to: file(Manifest.fileName))
        } catch {
            Files.remove(temporary)
            throw error
        }
    }

    /// Makes the manifest's rename durable.
    func sync() throws { try Files.syncDirectory(path) }
}
