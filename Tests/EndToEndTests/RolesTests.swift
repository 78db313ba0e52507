import Foundation
import Testing

/// Every method as every role, through the gateway: what the interface description promises is what the services do.
@Suite(.enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct RolesTests {
    private static let roles = ["viewer", "analyst", "admin"]

    private struct Operation {
        var verb: String
        var path: String
        /// The least role; `public` for everybody.
        var access: String
    }

    @Test func everyMethodAdmitsExactlyTheRolesOfItsPolicy() async throws {
        try await withServices { system in
            try await system.serveAll()
            var keys = ["admin": system.key]
            for role in ["viewer", "analyst"] {
                let made = try await system.acp("keys", "create", "a-\(role)", "--role", role)
                keys[role] = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
            }
            let operations = try await Self.operations(system)
            #expect(operations.count > 15)
            for operation in operations {
                for role in [nil] + Self.roles.map(Optional.some) {
                    let status = try await Self.call(operation, role.map { keys[$0] ?? "" }, system)
                    let least = Self.roles.firstIndex(of: operation.access)
                    let expected: Int? =
                        if operation.access == "public" {
                            nil
                        } else if let role {
                            // An access that is no known role admits nobody.
                            (Self.roles.firstIndex(of: role) ?? -1) < least ?? .max ? 403 : nil
                        } else {
                            401
                        }
                    let what = "\(operation.verb) \(operation.path) as \(role ?? "nobody"): \(status)"
                    if let expected {
                        #expect(status == expected, "\(what)")
                    } else {
                        #expect(status != 401 && status != 403 && status < 500, "\(what)")
                    }
                }
            }
        }
    }

    private static func operations(_ system: LiveSystem) async throws -> [Operation] {
        let text = try await system.curl("/openapi.json").body
        let document = Ended(status: 0, output: text, errors: "").json
        let paths = document["paths"] as? [String: [String: [String: Any]]] ?? [:]
        return paths.flatMap { path, verbs in
            verbs.map { verb, operation in
                Operation(verb: verb.uppercased(), path: path, access: operation["x-acp-access"] as? String ?? "none")
            }
        }
        // A stream without an end.
        .filter { $0.path != "/v1/health:watch" }
    }

    private static func call(_ operation: Operation, _ key: String?, _ system: LiveSystem) async throws -> Int {
        let id = "01936f0e-7a31-7c51-b8f4-6c2f0f6f7a10"
        let path = operation.path.replacing(#/{\w+}/#, with: id)
        var arguments = ["-X", operation.verb]
        if let key { arguments += ["-H", "Authorization: Bearer \(key)"] }
        if operation.verb == "POST" { arguments += ["-H", "Content-Type: application/json", "-d", "{}"] }
        return try await system.curl(path, arguments).status
    }
}
