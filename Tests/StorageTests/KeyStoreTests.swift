import Core
import Glibc
import TestSupport
import Testing

@testable import Storage

@Suite struct KeyStoreTests {
    private let pepper = Pepper(bytes: [UInt8](repeating: 7, count: 32))

    @Test func aKeyAuthenticatesItsPrincipal() async throws {
        try await withDatabase { database in
            let keys = KeyStore(database: database, pepper: pepper)
            let made = try await keys.create(name: "ada", role: .analyst)
            let principal = try await keys.authenticate(made.key.text)
            #expect(principal == made.principal)
            #expect([principal.name, principal.role.name] == ["ada", "analyst"])
            let listed = try await keys.list()
            #expect(listed.map(\.publicID) == [made.key.publicID])
            #expect(listed.first?.lastUsedAt != nil)
        }
    }

    @Test func theSecretIsNotInTheDatabase() async throws {
        try await withDatabase { database in
            let made = try await KeyStore(database: database, pepper: pepper).create(name: "ada", role: .viewer)
            let secret = String(made.key.text.dropFirst(made.key.publicID.count))
            let text = try await database.run { connection in
                try connection.execute("SELECT string_agg(k::text, ' ') FROM api_keys k").one().text(0)
            }
            #expect(!text.contains(secret))
            #expect(!"\(made.key)".contains(secret))
        }
    }

    @Test func anotherPepperRefusesEveryKey() async throws {
        try await withDatabase { database in
            let made = try await KeyStore(database: database, pepper: pepper).create(name: "ada", role: .viewer)
            let other = KeyStore(database: database, pepper: Pepper(bytes: [UInt8](repeating: 8, count: 32)))
            let failed = await failure { _ = try await other.authenticate(made.key.text) }
            #expect(failed?.code == .unauthenticated)
        }
    }

    @Test func revokedExpiredAndDisabledAreRefused() async throws {
        try await withDatabase { database in
            let keys = KeyStore(database: database, pepper: pepper)
            let revoked = try await keys.create(name: "a", role: .viewer)
            _ = try await keys.authenticate(revoked.key.text)
            try await keys.revoke(publicID: revoked.key.publicID)
            let expired = try await keys.create(name: "b", role: .viewer, expiresAt: WallTime(microseconds: 1))
            let disabled = try await keys.create(name: "c", role: .viewer)
            try await database.run { _ = try $0.execute("UPDATE principals SET disabled_at = now() WHERE name = 'c'") }
            for (key, word) in [(revoked, "revoked"), (expired, "expired"), (disabled, "disabled")] {
                let failed = await failure { _ = try await keys.authenticate(key.key.text) }
                #expect(failed?.code == .unauthenticated)
                #expect(failed?.message.contains(word) == true)
            }
            let missing = await failure { try await keys.revoke(publicID: "acp_live_nothing0") }
            #expect(missing?.code == .notFound)
        }
    }

    @Test func aProvenKeyIsBelievedForLessThanASecond() async throws {
        #expect(KeyStore.cacheMs < 1000)
        try await withDatabase { database in
            let keys = KeyStore(database: database, pepper: pepper)
            let made = try await keys.create(name: "ada", role: .viewer)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<100 { group.addTask { _ = try await keys.authenticate(made.key.text) } }
                try await group.waitForAll()
            }
            // Revoked behind its back, as by another process: refused as soon as the cache's time is over.
            try await database.run { _ = try $0.execute("UPDATE api_keys SET revoked_at = now()") }
            let start = MonotonicTime.now()
            while await failure({ _ = try await keys.authenticate(made.key.text) }) == nil { await Task.yield() }
            #expect(start.duration(to: .now()) < .seconds(20))
        }
    }

    @Test func theAdministratorsKeyIsMadeOnce() async throws {
        try await withDatabase { database in
            let keys = KeyStore(database: database, pepper: pepper)
            let made = try await withThrowingTaskGroup(of: KeyStore.NewKey?.self) { group in
                for _ in 0..<4 { group.addTask { try await keys.ensureAdmin() } }
                return try await group.reduce(into: [KeyStore.NewKey]()) { if let key = $1 { $0.append(key) } }
            }
            #expect(made.count == 1)
            let principal = try await keys.authenticate(try #require(made.first).key.text)
            #expect(principal.role == .admin)
            try await keys.revoke(publicID: made[0].key.publicID)
            let replacement = try await keys.ensureAdmin()
            #expect(replacement?.principal == made[0].principal)
        }
    }

    @Test func aNameKeepsItsRole() async throws {
        try await withDatabase { database in
            let keys = KeyStore(database: database, pepper: pepper)
            let first = try await keys.create(name: "ada", role: .viewer)
            let second = try await keys.create(name: "ada", role: .viewer)
            #expect(first.principal == second.principal)
            let failed = await failure { _ = try await keys.create(name: "ada", role: .admin) }
            #expect(failed?.code == .alreadyExists)
        }
    }

    @Test func keysHaveTheDocumentedForm() throws {
        for _ in 0..<200 {
            let key = try APIKey(environment: "live")
            #expect(key.text.wholeMatch(of: /acp_live_[0-9A-Za-z]{36}/) != nil)
            #expect(key.publicID.wholeMatch(of: /acp_live_[0-9A-Za-z]{8}/) != nil)
            #expect(APIKey(key.text) == key)
        }
        #expect { try APIKey(environment: "Live") } throws: { ($0 as? Failure)?.code == .invalidArgument }
    }

    @Test func aKeyWithAnyCharacterChangedIsNotAKey() throws {
        let key = try APIKey(environment: "live").text
        for index in key.indices {
            var changed = key
            changed.replaceSubrange(index...index, with: key[index] == "x" ? "y" : "x")
            #expect(APIKey(changed) == nil)
        }
        for text in ["", "acp_", "acp_live_", String(key.dropLast()), key + "0", "Bearer " + key] {
            #expect(APIKey(text) == nil)
        }
    }

    @Test func aPepperIsMadeOnceAndOnlyItsOwnerReadsIt() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/pepper"
            let made = try Pepper.loadOrCreate(path: path)
            #expect(made.bytes.count == 32)
            #expect(try Pepper.loadOrCreate(path: path).bytes == made.bytes)
            var information = stat()
            stat(path, &information)
            #expect(information.st_mode & 0o777 == 0o600)
            chmod(path, 0o644)
            #expect { try Pepper.loadOrCreate(path: path) } throws: { ($0 as? Failure)?.reason == "PEPPER" }
            chmod(path, 0o600)
            truncate(path, 31)
            #expect { try Pepper.loadOrCreate(path: path) } throws: { ($0 as? Failure)?.reason == "PEPPER" }
        }
    }

    @Test func aDatabaseKnowsThePepperOfItsKeys() async throws {
        try await withDatabase { database in
            let (first, second) = (try Self.makeDirectory(), try Self.makeDirectory())
            defer { for directory in [first, second] { Self.remove(directory) } }
            let made = try await KeyStore.open(database: database, pepperPath: "\(first)/pepper")
                .create(name: "ada", role: .admin)
            let again = try await KeyStore.open(database: database, pepperPath: "\(first)/pepper")
            #expect(try await again.authenticate(made.key.text) == made.principal)

            let missing = await failure {
                _ = try await KeyStore.open(database: database, pepperPath: "\(second)/pepper")
            }
            #expect(missing?.reason == "PEPPER" && missing?.message.contains("is missing") == true)
            #expect(access("\(second)/pepper", F_OK) != 0, "none is made up")
            _ = try Pepper.loadOrCreate(path: "\(second)/pepper")
            let other = await failure {
                _ = try await KeyStore.open(database: database, pepperPath: "\(second)/pepper")
            }
            #expect(other?.reason == "PEPPER" && other?.message.contains("not the one") == true)

            let anew = try await KeyStore.open(
                database: database, pepperPath: "\(second)/pepper", mayReplace: true)
            #expect(await failure { _ = try await anew.authenticate(made.key.text) }?.code == .unauthenticated)
            let old = await failure {
                _ = try await KeyStore.open(database: database, pepperPath: "\(first)/pepper")
            }
            #expect(old?.reason == "PEPPER", "the other one counts now")
        }
    }

    private func withTemporaryDirectory(_ body: (String) throws -> Void) throws {
        let path = try Self.makeDirectory()
        defer { Self.remove(path) }
        try body(path)
    }

    private static func makeDirectory() throws -> String {
        var template = Array("/tmp/acp-pepper-XXXXXX".utf8CString)
        _ = try #require(mkdtemp(&template))
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func remove(_ directory: String) {
        unlink("\(directory)/pepper")
        rmdir(directory)
    }
}
