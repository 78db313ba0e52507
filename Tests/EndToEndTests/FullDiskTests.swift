import Foundation
import Glibc
import Testing

/// A disk without room: said clearly, nothing half stored, nothing acknowledged lost, and well again once there is room.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct FullDiskTests {
    /// At most 64, so that their names have two letters.
    private static let documents = 32

    @Test func nothingIsTakenInBelowTheReserve() async throws {
        // No disk has this much free, so this one is nearly full.
        try await withServices(settings: ["ACP_INGEST_FREE_BYTES_MIN": "900GB"]) { system in
            try await system.serve("ingest", "gateway")
            let file = try system.write("note.md", "# Note\n\nNothing of this is stored.\n")
            let attempts = [
                try await system.acp("ingest", "upload", file), try await system.acp("ingest", "paste", "Some text."),
            ]
            for refused in attempts {
                #expect(refused.status == 1, "\(refused.output) \(refused.errors)")
                for word in ["DISK_FULL", "MiB free", system.data, "Nothing was stored", "Free space"] {
                    #expect(refused.errors.contains(word), "\(word): \(refused.errors)")
                }
            }
            let upload = try await system.curl(
                "/v1/documents:upload?origin=note.md", "-H", system.bearer, "--data-binary", "@\(file)")
            #expect(upload.status == 507 && upload.body.contains("DISK_FULL"), "\(upload.body)")
            let search = try await system.acp("search", "note")
            #expect(search.status == 0, "what is there can be read: \(search.errors)")
            let documents = try await system.acp("ingest", "documents", "-o", "json")
            #expect((documents.json["documents"] as? [Any])?.isEmpty == true, "\(documents.output)")
        }
    }

    @Test(.enabled(if: SmallDisk.missing == nil, "\(SmallDisk.missing ?? "")"))
    func aDiskThatFillsUpInTheMiddleLosesNothingAcknowledged() async throws {
        // Without the reserve, which would refuse the uploads before anything breaks.
        try await withSystem(settings: ["ACP_INGEST_FREE_BYTES_MIN": "0"]) { system in
            guard mkdir(system.data, 0o755) == 0 else { throw Problem("no directory \(system.data)") }
            try SmallDisk.mount(system.data, mebibytes: 320)
            try await system.start()
            #expect(try await system.acp("ingest", "paste", "Stored before the disk was full.").status == 0)
            try Self.writeDocuments(system)

            let filler = try SmallDisk.fill(system.data, leaving: 4 << 20)
            let directory = "\(system.directory)/docs"
            let upload = try await system.acp("ingest", "upload", directory, "--no-wait", "-o", "json", seconds: 120)
            #expect(upload.status != 0, "\(upload.output)")
            let acknowledged = Self.paths(upload, "stored")
            print("\(acknowledged.count) of \(Self.documents) were acknowledged while the disk filled up")
            let said = upload.output + upload.errors
            #expect(
                ["No space left on device", "disk of the database is full"].contains { said.contains($0) }, "\(said)")
            #expect(said.contains("Free space"), "\(said)")

            // Now nothing fits any more, and the database must start anew.
            _ = try SmallDisk.fill(system.data, leaving: 0)
            if let postmaster = system.postmaster { kill(postmaster, SIGKILL) }
            let failing = try await system.readiness(503, port: system.ports.ingest)
            #expect(failing.contains("No space left on device"), "\(failing)")
            // Not a search: the index answers those who proved their key less than a second ago.
            let jobs = try await system.acp("ingest", "jobs")
            #expect(jobs.status == 6 && jobs.errors.contains("No space left on device"), "\(jobs.errors)")
            #expect(jobs.errors.contains("Free space"), "\(jobs.errors)")

            unlink(filler)
            _ = try await system.readiness(200, port: system.ports.ingest, seconds: 60)
            try await system.settle()
            try await Self.expectWhole(system, acknowledged)
            let rest = try await system.acp("ingest", "upload", directory, "-o", "json", seconds: 120)
            #expect(rest.status == 0, "\(rest.output) \(rest.errors)")
            #expect(
                Self.paths(rest, "published").count + Self.paths(rest, "unchanged").count == Self.documents,
                "\(rest.output)")
        }
    }

    private static func expectWhole(_ system: LiveSystem, _ acknowledged: [String]) async throws {
        let list = try await system.acp("ingest", "documents", "-o", "json")
        let documents = list.json["documents"] as? [[String: Any]] ?? []
        let origins = documents.compactMap { $0["origin"] as? String }
        #expect(Set(acknowledged).isSubset(of: origins), "\(Set(acknowledged).subtracting(origins)) are lost")
        #expect(Set(origins).count == origins.count)
        let half = documents.filter { ($0["revisionId"] as? String ?? "").isEmpty }
        #expect(half.isEmpty, "\(half)")
        let before = try await system.acp("search", "before the disk was full")
        #expect(before.output.contains("Stored"), "\(before.output) \(before.errors)")
        for path in acknowledged {
            let word = ((path as NSString).lastPathComponent as NSString).deletingPathExtension
            let found = try await system.acp("search", word, "-o", "json")
            #expect(found.output.contains(path), "\(path) is acknowledged and not searchable")
        }
    }

    private static func paths(_ upload: Ended, _ outcome: String) -> [String] {
        (upload.json["files"] as? [[String: Any]] ?? []).filter { $0["outcome"] as? String == outcome }
            .compactMap { $0["path"] as? String }
    }

    /// Texts of about 130 kB that compress badly, each with its name as its first word.
    private static func writeDocuments(_ system: LiveSystem) throws {
        var generator = SeededGenerator(seed: 7)
        let letters = Array("abcdefgh")
        for index in 0..<documents {
            let name = "document" + String([letters[index / 8], letters[index % 8]])
            var text = "\(name) begins here.\n\n"
            for _ in 0..<120 {
                for _ in 0..<80 { text += String(generator.next(), radix: 36) + " " }
                text += "\n\n"
            }
            try system.write("docs/\(name).txt", text)
        }
    }
}
