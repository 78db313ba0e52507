internal import CLI
internal import Core
internal import Platform
internal import Storage

/// The first administrator's key: made once, printed once, and kept for this user's command line.
enum AdminKey {
    struct Made: Sendable {
        let text: String
        /// The configuration file it was written to; nil when that file belongs to another system.
        let storedIn: String?

        /// What to do with it, for people.
        var advice: String {
            storedIn.map { "The key is stored in \($0), so `acp search` works at once. It is not shown again." }
                ?? "The key is not shown again: store it now."
        }
    }

    /// - Returns: nil when an administrator has a key already.
    /// - Parameter isForced: make another one, for an administrator who has lost theirs.
    static func make(_ keys: KeyStore, configurationPath: String, isForced: Bool) async throws -> Made? {
        let new: KeyStore.NewKey
        if let first = try await keys.ensureAdmin() {
            new = first
        } else if isForced {
            new = try await keys.create(name: "admin", role: .admin)
        } else {
            return nil
        }
        return Made(text: new.key.text, storedIn: store(new.key.text, in: configurationPath))
    }

    /// A file that points the command line at other services keeps its key.
    private static func store(_ key: String, in path: String) -> String? {
        do throws(Failure) {
            let file = try Configuration(flags: [:], environment: ["HOME": "/"], file: ConfigFile(path: path))
            for name in ["ingest.url", "agents.url"] {
                if case .file = try file.setting(name).origin { return nil }
            }
            try Configuration.set([("api-key", key)], inFile: path)
            return path
        } catch {
            Console(isQuiet: false).warning("the key could not be stored in \(path): \(error.message)")
            return nil
        }
    }
}
